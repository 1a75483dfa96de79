"""The load of others is what is left after our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.system import load
from repro.system.load import Load, Snapshot, between


def test_what_others_used_is_the_rest() -> None:
    before = Snapshot(at_s=100.0, busy_s=50.0, stolen_s=1.0, own_s=3.0)
    after = Snapshot(at_s=102.0, busy_s=54.0, stolen_s=1.1, own_s=3.5)
    seen = between(before, after, children_s=2.5)
    assert seen is not None
    assert seen.other_cores == pytest.approx((4.0 - 0.5 - 2.5) / 2)
    assert seen.stolen_cores == pytest.approx(0.05)


def test_a_tick_more_than_was_counted_is_not_less_than_nothing() -> None:
    seen = between(Snapshot(0, 10, 0, 0), Snapshot(1, 11, 0, 0), children_s=1.02)
    assert seen == Load(0.0, 0.0)


def test_a_trial_that_loaded_ahead_of_what_it_timed_does_not_know_its_share() -> None:
    before, after = Snapshot(0, 0, 0, 0), Snapshot(2, 3, 0.5, 0)
    timed = {"wall_s": 2.0, "user_s": 1.5, "system_s": 0.5}
    known = {"other_cores": 0.5, "stolen_cores": 0.25}
    assert load.by_others(before, after, timed) == known
    assert load.by_others(before, after, {**timed, "load_s": 2.0}) == known
    assert load.by_others(before, after, {**timed, "load_s": 0.7}) == {}
    assert load.by_others(before, after, {"wall_s": 2.0}) == {}


def test_the_unknown_stays_unknown() -> None:
    assert between(Snapshot(0, 0, 0, 0), Snapshot(1, 1, 0, 0), None) is None
    assert between(Snapshot(1, 0, 0, 0), Snapshot(1, 0, 0, 0), 0.0) is None


@given(st.floats(0.1, 1e4), st.floats(0, 64), st.floats(0, 64), st.floats(0, 1))
def test_the_rest_is_found_whatever_our_share(span_s: float, others: float, ours: float, parent: float) -> None:
    after = Snapshot(span_s, (others + ours + parent) * span_s, 0.0, parent * span_s)
    seen = between(Snapshot(0, 0, 0, 0), after, ours * span_s)
    assert seen is not None
    assert seen.other_cores == pytest.approx(others, abs=1e-6)


def test_real_counters_move_forward() -> None:
    before = load.snapshot()
    sum(i * i for i in range(2_000_000))
    after = load.snapshot()
    assert after.at_s > before.at_s
    assert after.own_s > before.own_s
    assert after.busy_s >= before.busy_s > 0


def test_interrupts_count_but_guests_do_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    linux = namedtuple("linux", "user nice system idle iowait irq softirq steal guest guest_nice")
    monkeypatch.setattr("psutil.cpu_times", lambda: linux(10, 1, 4, 100, 7, 0.5, 0.25, 2, 3, 0.5))
    assert (load.snapshot().busy_s, load.snapshot().stolen_s) == (15.75, 2)
    win = namedtuple("win", "user system idle interrupt dpc")
    monkeypatch.setattr("psutil.cpu_times", lambda: win(10, 4, 100, 0.5, 0.25))
    assert (load.snapshot().busy_s, load.snapshot().stolen_s) == (14, 0)
