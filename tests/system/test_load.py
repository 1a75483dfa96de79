"""The load of others is what is left after our own; a tree is counted whole, shared pages once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.system import load
from repro.system.load import Snapshot


def others(before: Snapshot, after: Snapshot, ours_s: float) -> dict[str, float]:
    """The load by others beside a child that used so many seconds."""
    return load.by_others(before, after, {"wall_s": after.at_s - before.at_s, "user_s": ours_s, "system_s": 0.0})


def test_what_others_used_is_the_rest() -> None:
    before = Snapshot(at_s=100.0, busy_s=50.0, stolen_s=1.0, own_s=3.0)
    after = Snapshot(at_s=102.0, busy_s=54.0, stolen_s=1.1, own_s=3.5)
    rest = {"other_cores": pytest.approx((4.0 - 0.5 - 2.5) / 2), "stolen_cores": pytest.approx(0.05)}
    assert others(before, after, 2.5) == rest


def test_a_tick_more_than_was_counted_is_not_less_than_nothing() -> None:
    none = {"other_cores": 0.0, "stolen_cores": 0.0}
    assert others(Snapshot(0, 10, 0, 0), Snapshot(1, 11, 0, 0), 1.02) == none


def test_a_trial_that_loaded_ahead_of_what_it_timed_does_not_know_its_share() -> None:
    before, after = Snapshot(0, 0, 0, 0), Snapshot(2, 3, 0.5, 0)
    timed = {"wall_s": 2.0, "user_s": 1.5, "system_s": 0.5}
    known = {"other_cores": 0.5, "stolen_cores": 0.25}
    assert load.by_others(before, after, timed) == known
    assert load.by_others(before, after, {**timed, "load_s": 2.0}) == known
    assert load.by_others(before, after, {**timed, "load_s": 0.7}) == {}
    assert load.by_others(before, after, {"wall_s": 2.0}) == {}


@given(st.floats(0.1, 1e4), st.floats(0, 64), st.floats(0, 64), st.floats(0, 1))
def test_the_rest_is_found_whatever_our_share(span_s: float, theirs: float, ours: float, parent: float) -> None:
    after = Snapshot(span_s, (theirs + ours + parent) * span_s, 0.0, parent * span_s)
    seen = others(Snapshot(0, 0, 0, 0), after, ours * span_s)
    assert seen["other_cores"] == pytest.approx(theirs, abs=1e-6)


def test_real_counters_move_forward() -> None:
    before = load.snapshot()
    sum(i * i for i in range(2_000_000))
    after = load.snapshot()
    assert before is not None
    assert after is not None
    assert after.at_s > before.at_s
    assert after.own_s > before.own_s
    assert after.busy_s >= before.busy_s > 0


def busy_and_stolen() -> tuple[float, float]:
    seen = load.snapshot()
    assert seen is not None
    return seen.busy_s, seen.stolen_s


def test_interrupts_count_but_guests_do_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    linux = namedtuple("linux", "user nice system idle iowait irq softirq steal guest guest_nice")
    monkeypatch.setattr("psutil.cpu_times", lambda: linux(10, 1, 4, 100, 7, 0.5, 0.25, 2, 3, 0.5))
    assert busy_and_stolen() == (15.75, 2)
    win = namedtuple("win", "user system idle interrupt dpc")
    monkeypatch.setattr("psutil.cpu_times", lambda: win(10, 4, 100, 0.5, 0.25))
    assert busy_and_stolen() == (14, 0)


def test_counters_that_are_switched_off_are_unknown_and_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("performance counters are off")

    monkeypatch.setattr("psutil.cpu_times", fails)
    assert load.snapshot() is None
    assert load.by_others(None, None, {"wall_s": 1.0, "user_s": 0.5, "system_s": 0.5}) == {}
    monkeypatch.setattr("psutil.Process", fails)
    assert load.tree(os.getpid()) == []
    assert load.tree_cpu_s(os.getpid()) == {}
    assert load.tree_memory([os.getpid()]) is None


def test_seconds_of_a_tree_are_unknown_once_a_process_has_ended() -> None:
    before = {1: (1.0, 0.5), 2: (3.0, 0.25)}
    assert load.used_s(before, {1: (2.0, 0.5), 2: (3.5, 0.25), 3: (1.0, 0.0)}) == (2.5, 0.0)
    assert load.used_s(before, {1: (2.0, 0.5)}) == (None, None)
    assert load.used_s({}, {1: (2.0, 0.5)}) == (None, None)


def test_memory_of_trees_is_the_sum_of_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(pid: int) -> SimpleNamespace:
        def memory() -> SimpleNamespace:
            if pid == 3:
                raise psutil.NoSuchProcess(pid)
            return SimpleNamespace(pss=pid * 1000) if pid < 3 else SimpleNamespace(uss=5)  # macOS knows no PSS

        return SimpleNamespace(memory_full_info=memory)

    monkeypatch.setattr(load, "tree", lambda root: [root])
    monkeypatch.setattr("psutil.Process", process)
    assert load.tree_memory([1, 2, 3, 4]) == 3000
    assert load.tree_memory([3, 4]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux splits shared pages")
def test_pages_that_a_tree_shares_count_once() -> None:
    code = (
        "import os, sys, time; ballast = b'x' * (80 << 20)\n"
        "for _ in range(2):\n    if os.fork() == 0: time.sleep(300)\n"
        "print('ready', flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            assert parent.stdout is not None
            parent.stdout.readline()
            assert len(load.tree(parent.pid)) == 3
            assert set(load.tree_cpu_s(parent.pid)) == set(load.tree(parent.pid))
            with load.TreeMemory(lambda: [parent.pid]) as sampled:
                pass
            assert sampled.peak_bytes is not None
            assert 80 << 20 < sampled.peak_bytes < 160 << 20, "three times would be 240 MiB"
        finally:
            os.killpg(parent.pid, 9)
