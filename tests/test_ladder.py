import math
import random

import pytest

from repro.explain.ladder import change, ladder, quotient


def rounds(ratio: float, n: int = 20, spread: float = 0.01, seed: int = 1) -> list[float]:
    draw = random.Random(f"{ratio}{seed}")
    return [math.log(ratio) + draw.gauss(0, spread) for _ in range(n)]


def test_each_change_is_named_by_what_it_adds() -> None:
    assert change("posted", "threads") == "threads"
    assert change("threads", "threads+pool") == "pool"
    assert change("pool+bins", "threads+pool+bins") == "threads"


def test_the_steps_multiply_to_the_whole_in_either_order() -> None:
    found = ladder({"posted": rounds(10), "threads": rounds(2), "pool": rounds(4), "threads+pool": rounds(1)})
    assert found is not None
    factors = {(step.before, step.after): step.factor.value for step in found.steps}
    whole = 10.0
    assert factors["posted", "threads"] * factors["threads", "threads+pool"] == pytest.approx(whole, rel=0.05)
    assert factors["posted", "pool"] * factors["pool", "threads+pool"] == pytest.approx(whole, rel=0.05)


def test_the_interval_of_a_factor_holds_the_truth_and_is_as_wide_as_the_noise_says() -> None:
    inside, widths = 0, []
    for seed in range(60):
        found = quotient(rounds(10, seed=seed), rounds(2, seed=seed))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 5 <= found.high
        widths.append(math.log(found.high / found.low))
    assert inside >= 52
    # Two medians of 20 rounds of 1%: 1.96 * 2 * 1% * 1.2533 * sqrt(2 / 20) is 1.6%.
    assert 0.008 < sorted(widths)[30] < 0.03


def test_the_share_is_that_of_the_log_of_the_posted_ratio() -> None:
    found = ladder({"posted": rounds(9), "threads": rounds(3)})
    assert found is not None
    assert found.share is not None
    assert found.share.low is not None
    assert found.share.high is not None
    assert found.share.low < 0.5 < found.share.high
    assert found.share.value == pytest.approx(0.5, abs=0.01)


def test_a_condition_with_few_rounds_gives_a_figure_without_an_interval() -> None:
    found = ladder({"posted": rounds(9, n=3), "pool": rounds(3)})
    assert found is not None
    assert (found.posted.low, found.posted.high) == (None, None)
    assert found.steps[0].factor.low is None
    assert found.fair is None


def test_without_the_posted_condition_there_is_no_ladder() -> None:
    assert ladder({"threads": rounds(2), "posted": []}) is None


def test_the_same_rounds_give_the_same_figures() -> None:
    measured = {"posted": rounds(10), "threads+pool": rounds(1)}
    assert ladder(measured) == ladder(measured)


def test_each_order_accounts_for_the_whole_that_was_measured_apart() -> None:
    measured = {"posted": 9.6, "threads": 1.0, "pool": 4.0, "threads+pool": 1.0, "bins": 1.5, "platform": 2.0}
    found = ladder({name: rounds(ratio) for name, ratio in measured.items()}, whole=rounds(10, seed=7))
    assert found is not None
    assert found.whole.value == pytest.approx(10, rel=0.02)
    accounts = {account.changes: account for account in found.accounts}
    assert set(accounts) == {("threads", "pool"), ("bins",), ("pool", "threads"), ("platform",)}
    threads = accounts["threads", "pool"]
    assert threads.product.value == pytest.approx(9.6, rel=0.02)
    assert threads.share is not None
    assert threads.share.low is not None
    assert threads.share.high is not None
    assert threads.share.value == pytest.approx(math.log(9.6) / math.log(10), abs=0.01)
    assert threads.share.low < threads.share.value < threads.share.high
    assert accounts["platform",].left.value == pytest.approx(2, rel=0.02)
    assert [step.before for step in found.by_change["threads"]] == ["posted", "pool"]


def test_without_rounds_of_its_own_the_whole_is_the_posted_condition() -> None:
    found = ladder({"posted": rounds(9), "threads": rounds(1.0001)})
    assert found is not None
    assert found.whole == found.posted
    assert found.share is not None
    assert found.share.low is not None
    assert found.share.value - found.share.low < 0.01


def test_no_shares_are_told_of_a_slowdown_that_nobody_sees() -> None:
    for posted, whole in ((1.0, None), (0.8, None), (1.0, 1.2)):
        found = ladder({"posted": rounds(posted), "threads": rounds(0.75)}, whole=rounds(whole) if whole else ())
        assert found is not None
        assert found.share is None
        assert found.accounts[0].share is None
