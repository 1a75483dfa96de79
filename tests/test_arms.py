"""The API path's worker is watched, replaced and warmed up again; driven through a made-up worker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import parts
from repro.builds.installed import Installed
from repro.elastix import resultfolder
from repro.errors import TrialError
from repro.measure.arms import ApiArm, Limits
from repro.model import Condition, Phase, Settings, Trial
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared
from repro.system import children
from waiting import lives

WORKER = """
import json, os, pathlib, sys
answers = 0
print('{"hello": 1}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "load":
        print('{"parts": {}, "python": "3", "itk": "5", "itk_elastix": "0"}', flush=True)
        continue
    answers += 1
    folder = pathlib.Path(request["output"])
    with open("ran", "a") as ran:
        print(os.getpid(), folder.name, file=ran)
    wrong = pathlib.Path("wrong")
    if wrong.exists() and folder.name != "warm-up":
        what = wrong.read_text()
        wrong.unlink()
        if what == "die":
            os._exit(9)
        if what == "garbage":
            print("Segmentation fault", flush=True)
        if what == "flood":
            sys.stderr.write("x" * 3_000_000)
            raise SystemExit(1)
    (folder / "TransformParameters.0.txt").write_text(
        '(Transform "TranslationTransform")\\n(NumberOfParameters 1)\\n(TransformParameters 1)\\n')
    print(json.dumps({"wall_s": answers, "peak_bytes": 1, "used": {}, "threader": "Pool", "default_threads": 1,
                      "maximum_threads": 1, "work_units": 1}), flush=True)
"""
CONDITION = Condition("one", ("a.txt",), "posted", Settings(0, "option"), Settings(0, "method"))
IMAGES = ImageSet("posted", Path("fixed.tif"), Path("moving.tif"), "f" * 64, "e" * 64, "")


class Bench:
    """An arm, and what it is asked to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        installed = Installed(parts.pair(), folder, folder, "cp314", ("none",), {}, "given", "lock", {})
        prepared = Prepared(CONDITION, IMAGES, ("(Transform ...)\n",), "TranslationTransform", 2)
        self.arm = ApiArm(installed, prepared, folder / "worker.log", Limits(20), sys.executable)
        self.count = 0

    def trial(self, phase: Phase = "measure") -> Mapping[str, Any]:
        self.count += 1
        output = self.folder / f"trial-{self.count}"
        output.mkdir()
        return self.arm.run(Trial("p", "e", "c", 1, "api", phase, self.count, 0), output)

    def ran(self) -> list[tuple[int, str]]:
        """Process and folder of every registration."""
        words = [line.split() for line in (self.folder / "ran").read_text().splitlines()]
        return [(int(pid), name) for pid, name in words]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(ApiArm, "program", tmp_path / "worker.py")
    made = Bench(tmp_path)
    yield made
    made.arm.close()


def test_one_worker_serves_all_trials_and_is_warmed_up_by_the_warm_up_round(bench: Bench) -> None:
    first = bench.trial("warmup")
    assert "load_s" in first
    assert [bench.trial()["wall_s"] for _ in range(3)] == [2, 3, 4]
    assert len({pid for pid, _ in bench.ran()}) == 1


@pytest.mark.parametrize("wrong", ["die", "garbage", "flood"])
def test_a_worker_that_fails_is_a_failed_trial_and_its_successor_is_warmed_up(bench: Bench, wrong: str) -> None:
    bench.trial("warmup")
    (bench.folder / "wrong").write_text(wrong)
    with pytest.raises(TrialError) as caught:
        bench.trial()
    assert len(str(caught.value)) < 10_000
    old = bench.ran()[0][0]
    assert not lives(old)
    facts = bench.trial()
    assert facts["wall_s"] == 2, "the second registration of the new worker"
    assert "failed" in facts["note"]
    assert [name for pid, name in bench.ran() if pid != old] == ["warm-up", "trial-3"]
    assert "note" not in bench.trial()


def test_a_worker_whose_memory_has_grown_is_replaced_and_that_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([1 << 30, (1 << 30) + (500 << 20), 2 << 30, 1 << 30, 1 << 30])
    monkeypatch.setattr(children.LineChild, "resident_bytes", lambda self: next(sizes))
    results = [bench.trial("warmup"), *(bench.trial() for _ in range(4))]
    assert [facts.get("note") for facts in results] == [
        None,
        None,
        None,
        "in a new worker, as the last one's memory had grown by more than 512 MiB",
        None,
    ]
    assert [name for _, name in bench.ran()] == ["trial-1", "trial-2", "trial-3", "warm-up", "trial-4", "trial-5"]
    assert not lives(bench.ran()[0][0])


def test_the_memory_of_a_worker_is_known(bench: Bench) -> None:
    bench.trial()
    assert bench.arm._child is not None
    resident = bench.arm._child.resident_bytes()
    assert resident is not None
    assert resident > 1 << 20
    bench.arm._child.kill()
    assert bench.arm._child.resident_bytes() is None


def test_a_transform_that_was_cut_short_is_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "TransformParameters.0.txt").write_text('(Transform "TranslationTransform")\n(TransformParameters 1')
    with pytest.raises(TrialError, match="cannot be read"):
        resultfolder.facts(tmp_path)
