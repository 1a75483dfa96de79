"""Interrupts, full and read-only disks, two runs at once, jumping clocks: whole runs of a made-up pair."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import kill
import madeuprun
from repro import errors
from repro.measure import store
from waiting import eventually, lives

SOURCE = Path(madeuprun.__file__).parents[1] / "src"
HANGS = ("--seconds", "300", "--conditions", "1")
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


class Run:
    """A run in a process group of its own, as a terminal gives it."""

    def __init__(self, out: Path, *arguments: str, **options: Any) -> None:
        self.out = out
        self.errors = out.with_name(f"{out.name}.stderr")
        with self.errors.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, madeuprun.__file__, str(out), *arguments],
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
                **options,
            )

    def ended(self) -> int:
        """Its exit status, waited for; the patience only bounds a failing test."""
        return self.process.wait(60)

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def measurements(self) -> list[dict[str, Any]]:
        return [line for line in lines(self.out) if line["kind"] == "measurement"]

    def hanging(self, *words: str) -> list[int]:
        """The processes of the run, once one with these words on its command line runs."""
        found: list[psutil.Process] = []

        def there() -> bool:
            found[:] = psutil.Process(self.process.pid).children(recursive=True)
            with contextlib.suppress(psutil.Error):
                return any(all(word in process.cmdline() for word in words) for process in found)
            return False

        assert eventually(there), self.said()
        return [process.pid for process in found]


def lines(out: Path) -> list[dict[str, Any]]:
    return [line for file in out.glob("raw/*/*/*.jsonl") for line in store.read_lines(file)]


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "results"
    for process in psutil.Process().children(recursive=True):  # of a test that failed
        with contextlib.suppress(psutil.Error):
            if str(tmp_path) in " ".join(process.cmdline()):
                process.kill()


def registering(run: Run, path: str) -> list[int]:
    """The processes of a run that hangs in a registration by this path."""
    if path == "cli":
        return run.hanging(str(madeuprun.HERE / "elastix.py"), "-out")
    pids = run.hanging(str(madeuprun.HERE))  # the worker, which is named after the wheels
    assert eventually(lambda: any(run.out.glob("raw/*/.work/trial-*/parameters/*")))
    return pids


def api_first(path: str) -> tuple[str, ...]:
    return ("--api-first",) if path == "api" else ()


@posix
def test_ctrl_c_once_finishes_the_trial_and_keeps_all(out: Path) -> None:
    run = Run(out, "--seconds", "0.05", "--conditions", "1", "--rounds", "100")
    assert eventually(lambda: len(run.measurements()) > 10)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() == errors.EXIT_INTERRUPTED
    assert "finishing this trial" in run.said()
    kept = run.measurements()
    assert 10 < len(kept) < 200
    assert {line["status"] for line in kept} == {"ok"}
    assert lines(out)[-1]["kind"] == "end"
    assert not list(out.glob("raw/*/.work"))
    again = Run(out, "--conditions", "1", "--rounds", str(max(line["round"] for line in kept)), "--seconds", "0.05")
    assert again.ended() == 0
    assert again.measurements()[: len(kept)] == kept


@posix
@pytest.mark.parametrize("path", ["cli", "api"])
def test_ctrl_c_twice_ends_a_hung_trial_at_once_with_its_tree(out: Path, path: str) -> None:
    run = Run(out, *HANGS, *api_first(path))
    pids = registering(run, path)
    os.killpg(run.process.pid, signal.SIGINT)
    assert eventually(lambda: "finishing this trial" in run.said())
    assert run.process.poll() is None
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() == errors.EXIT_INTERRUPTED
    assert eventually(lambda: not any(map(lives, pids)))
    assert not list(out.glob("raw/*/.work"))
    assert "Traceback" not in run.said()
    assert {line["status"] for line in run.measurements()} <= {"ok"}


@posix
@pytest.mark.parametrize("path", ["cli", "api"])
def test_sigterm_ends_a_hung_trial_at_once_with_its_tree(out: Path, path: str) -> None:
    run = Run(out, *HANGS, *api_first(path))
    pids = registering(run, path)
    run.process.terminate()
    assert run.ended() == errors.EXIT_INTERRUPTED
    assert eventually(lambda: not any(map(lives, pids)))
    assert not list(out.glob("raw/*/.work"))
    assert "the same command goes on from there" in run.said()


@pytest.mark.parametrize("path", ["cli", "api"])
def test_a_hung_trial_is_ended_at_its_timeout_and_recorded(out: Path, path: str) -> None:
    run = Run(out, *HANGS, *api_first(path), "--timeout", "1")
    assert run.ended() == errors.EXIT_TRIAL_FAILED
    (hung,) = [line for line in run.measurements() if line["status"] != "ok"]
    assert (hung["path"], hung["status"], hung["phase"]) == (path, "timeout", "warmup")
    assert "its rounds are left out" in run.said()


def test_a_second_run_on_the_same_results_is_refused_and_says_who_holds_them(out: Path) -> None:
    first = Run(out, *HANGS)
    registering(first, "cli")
    second = Run(out)
    assert second.ended() == errors.EXIT_USAGE
    assert f"in use by process {first.process.pid} since 20" in second.said()
    first.process.kill()
    first.process.wait()
    assert Run(out).ended() == 0, "a killed run holds nothing"


@posix
def test_a_file_that_may_not_grow_ends_the_run_and_the_next_goes_on(out: Path) -> None:
    """As with a quota; works without being root."""
    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))

    full = Run(out, preexec_fn=few)
    assert full.ended() == errors.EXIT_USAGE
    check_goes_on(full)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk: Linux, root")
def test_a_full_or_read_only_disk_ends_the_run_and_the_next_goes_on(out: Path) -> None:
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(out)], check=False)
    if mounted.returncode:
        pytest.skip("root may not mount here, as in most containers")
    try:
        full = Run(out, "--rounds", "12")
        assert full.ended() == errors.EXIT_USAGE
        assert "No space left on device" in full.said()
        subprocess.run(["mount", "-o", "remount,ro,size=48k", str(out)], check=True)
        read_only = Run(out)
        assert read_only.ended() == errors.EXIT_USAGE
        assert "Read-only file system" in read_only.said()
        assert "--out" in read_only.said()
        assert "Traceback" not in read_only.said()
        subprocess.run(["mount", "-o", "remount,rw,size=8m", str(out)], check=True)
        check_goes_on(full, "--rounds", "12")
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


def check_goes_on(full: Run, *arguments: str) -> None:
    """The run on a full disk said so and kept all; the next one completes."""
    assert "is kept" in full.said()
    assert "Traceback" not in full.said()
    kept = [line for line in full.measurements() if line["status"] == "ok"]
    assert kept
    assert not list(full.out.glob("raw/*/.work"))
    again = Run(full.out, *arguments)
    assert again.ended() == 0, again.said()
    good = [line for line in again.measurements() if line["status"] == "ok"]
    assert good[: len(kept)] == kept
    rounds = 12 if arguments else 3
    assert len({line["key"] for line in good}) == len(good) == 2 * (3 + 2 * (rounds + 1))


def test_nothing_depends_on_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = madeuprun.experiment(1, 3)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # these runs are in pytest's own process
    assert madeuprun.run(tmp_path / "steady", chosen) == 0
    years = itertools.cycle((2026, 1970, 2099, 2025))

    def jumping() -> str:
        return datetime.datetime(next(years), 1, 1, tzinfo=datetime.UTC).isoformat(timespec="milliseconds")

    monkeypatch.setattr(store, "utc_now", jumping)
    monkeypatch.setattr(time, "time", lambda: datetime.datetime.fromisoformat(jumping()).timestamp())
    for rounds in (1, 2, 3):
        assert madeuprun.run(tmp_path / "jumping", madeuprun.experiment(1, rounds)) == 0
    steady, jumped = kill.state(tmp_path / "steady"), kill.state(tmp_path / "jumping")
    assert jumped.measured == steady.measured
    assert jumped.comparison == steady.comparison
    assert all(0 < line["wall_s"] < 60 for line in lines(tmp_path / "jumping") if line["kind"] == "measurement")


def test_no_module_that_measures_reads_the_wall_clock() -> None:
    named = {
        file.name
        for file in (SOURCE / "repro").glob("*.py")
        if any(word in file.read_text(encoding="utf-8") for word in ("time.time(", "datetime.now(", "utcnow("))
    }
    # Stamps for people: when a trial started, when a pair was fetched or added.
    assert named == {"store.py", "fetch.py", "pairadd.py"}
