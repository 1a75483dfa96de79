import numpy as np
import pytest

import simulate

# The simulations of tasks/simulate.py, small. Numbers are seeded; the bounds leave three standard errors.
REPEATS = 2000


@pytest.mark.parametrize("rounds", [20, 40])
@pytest.mark.parametrize("name", simulate.DISTURBANCES)
def test_the_interval_holds_the_true_ratio_in_93_to_97_percent(name: str, rounds: int) -> None:
    quality = simulate.simulate(simulate.DISTURBANCES[name], "random", rounds, REPEATS, seed=1)
    assert 0.93 <= quality.coverage <= 0.97
    assert abs(quality.bias) < 3 * quality.rmse / np.sqrt(REPEATS)


def test_the_random_order_is_what_keeps_drift_and_position_out() -> None:
    blocked = simulate.simulate(simulate.DISTURBANCES["drift of 0.3% a trial"], "blocked", 20, REPEATS, seed=1)
    fixed = simulate.simulate(simulate.DISTURBANCES["second is 2% slower"], "fixed", 20, REPEATS, seed=1)
    assert blocked.bias == pytest.approx(20 * 0.003, rel=0.02)
    assert blocked.coverage < 0.05
    assert fixed.bias == pytest.approx(0.02, rel=0.05)
    assert fixed.coverage < 0.5


@pytest.mark.parametrize("noise", [0.02, 0.03, 0.04, 0.05, 0.06])
def test_stopping_early_costs_less_than_three_points_of_coverage(noise: float) -> None:
    quality, rounds = simulate.stopped(simulate.Disturbance(noise=noise), 1500, seed=1)
    assert 0.92 <= quality.coverage <= 0.97
    assert abs(quality.bias) < 3 * quality.rmse / np.sqrt(1500)
    assert 10 <= rounds <= simulate.MOST_ROUNDS


def test_the_tables_are_printed() -> None:
    lines: list[str] = []
    simulate.main(["--repeats", "20"], lines.append)
    assert sum(line.startswith("all of it") for line in lines) == len(simulate.DESIGNS) * len(simulate.ROUNDS)
