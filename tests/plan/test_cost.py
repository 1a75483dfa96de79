"""How long a condition will take."""

from pathlib import Path

import pytest

from repro.model import (
    Arm,
    Build,
    ConditionLine,
    Inputs,
    Measurement,
    Registration,
    RegistrationCondition,
    Settings,
    Side,
    write_line,
)
from repro.plan.cost import BLOCK_S, LOAD_S, read_costs

PLACE = ("0.25.4-5.3.1", "posted", "as-posted")
REFERENCE = """comparison,experiment,condition,base_median_s,other_median_s,other_load_s
0.25.4-5.3.1,posted,as-posted,2,20,1.5
0.21.0-5.2.0,posted,as-posted,4,40,
"""


def measured(side: Side, wall_s: float | None, **more: object) -> Measurement:
    facts = {"status": "ok", "phase": "measure", "round": 1, **more}
    return Measurement(
        session="s",
        key="k",
        life="l",
        block=1,
        side=side,
        position=0,
        started_utc="",
        wall_s=wall_s,
        **facts,  # type: ignore[arg-type]
    )


def raw_lines(folder: Path, *lines: Measurement) -> Path:
    cli, api = Arm(Build("cli", "1", "ab" * 16), Settings()), Arm(Build("api", "1", "ab" * 16), Settings())
    condition = ConditionLine(
        session="s",
        key="k",
        experiment=PLACE[1],
        question="?",
        comparison=PLACE[0],
        condition=RegistrationCondition(PLACE[2], cli, api, Registration(("a.txt",), "posted")),
        inputs=Inputs("a", "b", "c"),
        blocks=6,
        rounds=2,
    )
    file = folder / "m" / "posted" / "0.25.4-5.3.1.jsonl"
    file.parent.mkdir(parents=True)
    texts = [write_line(condition), *map(write_line, lines)]
    file.write_text("\n".join([*texts, '{"kind": "measurement", "sess']) + "\n", encoding="utf-8")
    return folder / "m"


def reference(folder: Path, text: str = REFERENCE) -> Path:
    (folder / "comparison.csv").write_text(text, encoding="utf-8")
    return folder


def test_nothing_measured_is_not_known(tmp_path: Path) -> None:
    costs = read_costs(tmp_path / "absent", tmp_path / "absent")
    assert costs.estimate_s(PLACE, ("cli", "api"), 6, 2) is None
    assert costs.timed(PLACE, "base", 3.0) == costs


def test_earlier_runs_on_this_machine_come_first(tmp_path: Path) -> None:
    machine = raw_lines(
        tmp_path,
        *(measured("base", seconds) for seconds in (1.0, 3.0, 1.2)),
        measured("other", 10.0, round=0, phase="warmup", load_s=0.5),
        measured("other", 99.0, status="failed"),
        measured("base", 0.1, phase="start"),
    )
    costs = read_costs(machine, reference(tmp_path))
    assert (costs.trial_s(PLACE, "base"), costs.trial_s(PLACE, "other")) == (1.2, 10.0)
    expected = 6 * (3 * (1.2 + 10) + 0.5 + BLOCK_S)
    assert costs.estimate_s(PLACE, ("cli", "api"), 6, 2) == pytest.approx(expected)


def test_the_reference_stands_in_and_one_timed_trial_scales_it(tmp_path: Path) -> None:
    costs = read_costs(tmp_path / "absent", reference(tmp_path))
    assert costs.estimate_s(PLACE, ("cli", "api"), 1, 1) == pytest.approx(2 * 22 + 1.5 + BLOCK_S)
    slower = costs.timed(PLACE, "base", 6.0)
    assert slower.trial_s(PLACE, "other") == pytest.approx(60)
    assert slower.estimate_s(PLACE, ("cli", "api"), 1, 1) == pytest.approx(2 * 66 + 4.5 + BLOCK_S)


def test_a_comparison_that_was_never_measured_borrows_from_others(tmp_path: Path) -> None:
    costs = read_costs(tmp_path / "absent", reference(tmp_path))
    place = ("api:0.25.4 api:0.25.5.dev3+1a2b3c4d", *PLACE[1:])
    assert costs.trial_s(place, "other") == 30
    assert costs.estimate_s((place[0], "posted", "another"), ("api", "api"), 1, 1) is None


def test_loading_that_was_never_measured_is_guessed(tmp_path: Path) -> None:
    costs = read_costs(tmp_path / "absent", reference(tmp_path, REFERENCE.replace(",1.5", ",")))
    assert costs.estimate_s(PLACE, ("api", "api"), 1, 1) == pytest.approx(2 * 22 + 2 * LOAD_S + BLOCK_S)
