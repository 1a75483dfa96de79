"""Batches, with an executable and a Python program that cost nothing."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import parts
from repro.builds.installed import Installed
from repro.errors import TrialError
from repro.measure import batch
from repro.measure.arms import Limits
from repro.model import Condition, Executable, Pair, Phase, Settings, Trial
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared
from repro.system import tree, used
from repro.system.children import Command, Launcher, Outcome

IMAGES = ImageSet("posted", Path("fixed.tif"), Path("moving.tif"), "f" * 64, "e" * 64, "")
CONDITION = Condition("one", ("a.txt",), "posted", Settings(1, "option"), Settings(1, "method", "Pool"), jobs=2)


def prepared(**changes: Any) -> Prepared:
    condition = dataclasses.replace(CONDITION, **{"strategy": "recipe", "registrations": 4, **changes})
    return Prepared(condition, IMAGES, ("(Transform ...)\n",), "TranslationTransform", 2)


def trial(phase: Phase = "measure") -> Trial:
    return Trial("1-2", "parallel", "one", 0, "cli", phase, 1, 0)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    pair = Pair("1-2", "1", Executable("2", "2"), "3.11", datetime.date(2026, 1, 1))
    return Installed(
        pair=pair,
        folder=tmp_path,
        site_packages=tmp_path,
        python_tag="cp311",
        elastix_command=("elastix",),
        elastix_env={},
        cli_source="fake",
        lock="lock",
        provenance={},
    )


class FakeLauncher:
    """Notes how many run side by side, and leaves what elastix would leave."""

    lock = threading.Lock()
    running = 0
    most = 0
    ran: list[Path] = []  # noqa: RUF012 - emptied by the fixture
    lost: Path | None = None
    pid = None

    def run(self, command: Command) -> Outcome:
        cls, folder = FakeLauncher, command.cwd
        assert folder is not None
        with cls.lock:
            cls.running += 1
            cls.most = max(cls.most, cls.running)
            number = len(cls.ran)
            cls.ran.append(folder)
        time.sleep(0.02)
        (folder / "TransformParameters.0.txt").write_text(parts.TRANSFORM.format(1))
        with cls.lock:
            cls.running -= 1
        lost = cls.lost == folder
        return Outcome(
            exit_status=None if lost else 0,
            signal=9 if lost else None,
            timed_out=False,
            stopped=False,
            wall_s=1.0 + number,
            user_s=2.0,
            system_s=0.5,
            peak_bytes=100 + number,
            voluntary_switches=None,
            involuntary_switches=3,
        )

    def close(self) -> None:
        pass


@pytest.fixture
def executables(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> batch.BatchCliArm:
    monkeypatch.setattr(batch, "Launcher", FakeLauncher)
    FakeLauncher.running = FakeLauncher.most = 0
    FakeLauncher.ran, FakeLauncher.lost = [], None
    return batch.BatchCliArm(installed, prepared(), Launcher(), Limits())


def test_executables_run_so_many_at_a_time_and_are_added_up(executables: batch.BatchCliArm, tmp_path: Path) -> None:
    begin = time.perf_counter()
    facts = executables.run(trial(), tmp_path)
    assert FakeLauncher.most == 2
    assert len(set(FakeLauncher.ran)) == 4
    assert tmp_path in FakeLauncher.ran
    assert sorted(facts["jobs_s"]) == [1.0, 2.0, 3.0, 4.0]
    assert (facts["user_s"], facts["system_s"], facts["peak_bytes"]) == (8.0, 2.0, 103)
    assert (facts["voluntary_switches"], facts["involuntary_switches"]) == (None, 12)
    assert 0 < facts["first_s"] < facts["wall_s"] < time.perf_counter() - begin
    assert "note" not in facts


def test_one_executable_that_fails_fails_the_batch(executables: batch.BatchCliArm, tmp_path: Path) -> None:
    FakeLauncher.lost = tmp_path / "registration-3"
    with pytest.raises(TrialError, match="SIGKILL"):
        executables.run(trial(), tmp_path)


class FakeChild:
    """A program that answers a batch with made-up seconds, and leaves a result for each registration."""

    def __init__(self, **options: Any) -> None:
        self.pid, self.started, self.asked = os.getpid(), time.perf_counter(), list[dict[str, Any]]()
        self.shift, self.error, self.closed = 0.0, "", False
        assert options["argv"][3].endswith("batchworker.py")

    def read(self, timeout_s: float) -> dict[str, Any]:
        return {"hello": self.pid}

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.asked.append(json.loads(json.dumps(request)))
        if self.error:
            return {"error": self.error}
        if request["op"] == "load":
            return {"parts": {"ready": 20.0}, "python": "3.11", "itk": "5", "itk_elastix": "1"}
        answers = []
        for number, job in enumerate(request["jobs"]):
            text = parts.TRANSFORM.format(1 + number * self.shift)
            Path(job["output"], "TransformParameters.0.txt").write_text(text)
            answers.append({"begin_s": number, "end_s": 2.0 + number, "peak_bytes": 10 + number, "threader": "Pool"})
        return {"wall_s": 5.0, "answers": answers}

    def resident_bytes(self) -> int:
        return 1

    def close(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.closed = True


@pytest.fixture
def program(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> batch.BatchApiArm:
    monkeypatch.setattr("repro.measure.arms.LineChild", FakeChild)
    return batch.BatchApiArm(installed, prepared(), tmp_path / "log.txt", Limits())


def run(arm: batch.BatchApiArm, folder: Path, phase: Phase = "measure") -> Any:
    folder.mkdir()
    return arm.run(trial(phase), folder)


def test_a_program_is_told_its_strategy_once_and_its_batches(program: batch.BatchApiArm, tmp_path: Path) -> None:
    first, second = (run(program, tmp_path / name) for name in ("1", "2"))
    child: Any = program._child
    load, *batches = child.asked
    assert (load["strategy"], load["jobs"], load["threads"], load["threader"]) == ("recipe", 2, 1, "Pool")
    assert [request["op"] for request in batches] == ["batch", "batch"]
    assert len({job["output"] for request in batches for job in request["jobs"]}) == 8
    assert first["load_s"] > 20
    assert "load_s" not in second
    assert "load_parts_s" not in first  # its parts overlap in the processes
    assert (second["wall_s"], second["jobs_s"], second["first_s"]) == (5.0, (2.0, 2.0, 2.0, 2.0), 2.0)
    assert (second["peak_bytes"], second["threader"], second["work_units"]) == (13, "Pool", None)
    assert second["user_s"] >= 0
    assert "note" not in second


def test_different_results_in_a_batch_are_said(program: batch.BatchApiArm, tmp_path: Path) -> None:
    run(program, tmp_path / "1")
    child: Any = program._child
    child.shift = 0.5
    assert run(program, tmp_path / "2")["note"] == "4 different results in a batch"


def test_a_program_that_fails_is_ended(program: batch.BatchApiArm, tmp_path: Path) -> None:
    run(program, tmp_path / "1")
    child: Any = program._child
    child.error = "RuntimeError: no"
    with pytest.raises(TrialError, match="batch failed in the worker: RuntimeError: no"):
        run(program, tmp_path / "2")
    assert child.closed


def test_memory_is_sampled_in_the_warm_up_alone(
    program: batch.BatchApiArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used, "shared_once_bytes", lambda pids: 7 * len({*pids}))
    assert run(program, tmp_path / "1", "warmup")["tree_peak_bytes"] >= 7
    assert "tree_peak_bytes" not in run(program, tmp_path / "2")


def test_shared_pages_are_counted_once(tmp_path: Path) -> None:
    for pid, text in ((1, "Rss: 9 kB\nPss:  3 kB\nPss_Anon: 2 kB\n"), (2, "Pss: 4 kB\n")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(text)
    assert used.shared_once_bytes([1, 2, 3], str(tmp_path)) == 7 * 1024
    assert used.shared_once_bytes([3], str(tmp_path)) is None


def test_seconds_of_a_tree_are_unknown_once_a_process_has_ended() -> None:
    before = {1: (1.0, 0.5), 2: (3.0, 0.0)}
    assert tree.used_s(before, {1: (2.0, 0.5), 2: (3.5, 0.25), 3: (1.0, 0.0)}) == (2.5, 0.25)
    assert tree.used_s(before, {1: (2.0, 0.5)}) == (None, None)
    assert tree.used_s({}, {1: (2.0, 0.5)}) == (None, None)


def test_threads_may_be_shared_among_the_jobs() -> None:
    shared = dataclasses.replace(prepared(jobs=0, registrations=0), physical_cores=8)
    assert (shared.jobs, shared.registrations) == (8, 8)
    for jobs, threads in ((1, 8), (3, 2), (16, 1)):
        one = prepared(jobs=jobs, cli=Settings(-1, "option"))
        assert dataclasses.replace(one, physical_cores=8).threads("cli") == threads
