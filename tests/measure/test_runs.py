"""Whole runs in processes of their own: interrupts, kills, full disks, two at once, and what results may name."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from repro.measure import store
from repro.model import BlockLine, Line, Measurement, SessionLine
from repro.paths import ROOT
from support.made_up import build as made_up
from support.waiting import eventually, lives

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
SAY_INTERRUPTED = """
import sys
from repro.errors import ReproError
from repro.system import interrupts
from support.made_up import build
stop = interrupts.Stop()
say = lambda text: print(text, file=sys.stderr, flush=True)
interrupts.listen(stop, say)
listener = build.Quiet()
listener.say = say
out, builds, blocks, text = sys.argv[1:]
try:
    summary = build.run(build.Path(out), build.works(build.Path(builds), 1, int(blocks), text=text), listener, stop,
                        limits=build.Limits(600))
except KeyboardInterrupt:
    sys.exit(130)
except ReproError as error:
    say(str(error))
    sys.exit(error.exit_status)
sys.exit(130 if stop.requested else 1 if summary.failed else 0)
"""


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("builds")
    made_up.works(folder)
    return folder


class Run:
    """A run in a process group of its own, as a terminal gives it."""

    def __init__(self, out: Path, builds: Path, blocks: int = 2, text: str = "(Seconds 0.001)", **options: Any) -> None:
        self.out = out
        self.errors = out.with_name(f"{out.name}.stderr")
        folders = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
        options = {"env": dict(os.environ), **options}
        options["env"] |= {"PYTHONPATH": folders}
        with self.errors.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SAY_INTERRUPTED, str(out), str(builds), str(blocks), text],
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
                **options,
            )

    def ended(self) -> int:
        """Its exit status, waited for; the patience only bounds a failing test."""
        return self.process.wait(120)

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def measurements(self) -> list[Measurement]:
        return [line for line in lines(self.out) if isinstance(line, Measurement)]

    def registering(self, path: str) -> list[int]:
        """The processes of the run, once it hangs in a registration by this path."""

        def there() -> bool:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(self.process.pid).children(recursive=True)
                found[:] = [one.pid for one in children]
                words = [word for one in children for word in one.cmdline()]
                started = any(self.out.glob("raw/*/.work/*/trial-*/parameters/*"))
                return started and (path == "cli") == any("-out" in word for word in words) and len(found) > 1
            return False

        found: list[int] = []
        assert eventually(there), self.said()
        return found


def lines(out: Path) -> list[Line]:
    return [line for file in out.glob("raw/*/*/*.jsonl") for line in store.read_lines(file)]


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "results"
    for process in psutil.Process().children(recursive=True):  # of a test that failed
        with contextlib.suppress(psutil.Error):
            if str(tmp_path) in " ".join(process.cmdline()):
                process.kill()


@posix
def test_ctrl_c_once_finishes_the_trial_and_keeps_all(out: Path, builds: Path) -> None:
    run = Run(out, builds, 100, "(Seconds 0.02)")
    assert eventually(lambda: len(run.measurements()) > 4)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() == 130
    assert "finishing this trial" in run.said()
    kept = lines(out)
    assert {line.status for line in kept if isinstance(line, Measurement)} == {"ok"}
    assert not list(out.glob("raw/*/.work"))
    blocks = max(line.block for line in kept if isinstance(line, Measurement))
    assert Run(out, builds, blocks, "(Seconds 0.02)").ended() == 0
    assert lines(out)[: len(kept)] == kept
    assert {line.block for line in lines(out) if isinstance(line, BlockLine)} == {*range(1, blocks + 1)}


@posix
@pytest.mark.parametrize("path", ["cli", "api"])
@pytest.mark.parametrize("how", ["ctrl-c twice", "sigterm"])
def test_a_hung_trial_is_ended_at_once_with_its_tree(out: Path, builds: Path, path: str, how: str) -> None:
    run = Run(out, builds, text=f'({path} "hang")')
    pids = run.registering(path)
    if how == "sigterm":
        run.process.terminate()
    else:
        os.killpg(run.process.pid, signal.SIGINT)
        assert eventually(lambda: "finishing this trial" in run.said())
        assert run.process.poll() is None
        os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() == 130
    assert eventually(lambda: not any(map(lives, pids)))
    assert not list(out.glob("raw/*/.work"))
    assert "Traceback" not in run.said()
    assert {line.status for line in run.measurements()} <= {"ok"}


def test_a_second_run_on_the_same_results_is_refused_and_says_who_holds_them(out: Path, builds: Path) -> None:
    first = Run(out, builds, text='(cli "hang")')
    first.registering("cli")
    second = Run(out, builds)
    assert second.ended() == 2
    assert f"in use by process {first.process.pid} since 20" in second.said()
    first.process.kill()
    first.process.wait()
    assert Run(out, builds).ended() == 0, "a killed run holds nothing"


@posix
def test_a_file_that_may_not_grow_ends_the_run_and_the_next_goes_on(out: Path, builds: Path) -> None:
    """As with a quota; works without being root."""
    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))

    full = Run(out, builds, 3, preexec_fn=few)
    assert full.ended() == 2
    assert "is kept" in full.said()
    assert "Traceback" not in full.said()
    kept = lines(out)
    assert any(isinstance(line, Measurement) for line in kept)
    assert not list(out.glob("raw/*/.work"))
    assert Run(out, builds, 3).ended() == 0
    assert lines(out)[: len(kept)] == kept
    assert [line.block for line in lines(out) if isinstance(line, BlockLine)] == [1, 2, 3]


def test_results_name_no_user_home_checkout_host_token_or_variable(builds: Path, tmp_path: Path) -> None:
    home = tmp_path / "homes" / "mary.sue"
    home.mkdir(parents=True)
    secrets = {
        "GITHUB_TOKEN": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "HTTPS_PROXY": "http://mary.sue:pa55w0rd@proxy.example:3128",
        "MY_OWN_VARIABLE": "its-own-value",
    }
    who = dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "mary.sue")
    telling = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "77"}
    environment = {**os.environ, **secrets, **telling, **who, "HOME": str(home), "USERPROFILE": str(home)}
    out = home / "results"
    # A failure's note and log quote what the child said.
    Run(out, builds, 1, '(api "fail")', env=dict(environment)).ended()
    files = [file for file in out.rglob("*") if file.is_file()]
    assert {"made_up.jsonl", "made-up-condition-1.log"} <= {file.name for file in files}
    forbidden = [*secrets.values(), "mary.sue", "pa55w0rd", str(home), str(tmp_path), str(ROOT)]
    forbidden += ["GITHUB_TOKEN", "MY_OWN_VARIABLE", made_up.IMAGES.fixed.name]
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        forbidden.append(host)
    for file in files:
        content = file.read_text(encoding="utf-8", errors="replace")
        assert [word for word in forbidden if word in content] == [], file
    notes = [line.note for line in lines(out) if isinstance(line, Measurement) and line.status == "failed"]
    assert any("made up to fail" in note for note in notes), "the failure is quoted"
    (session, *_) = [line for line in lines(out) if isinstance(line, SessionLine)]
    assert "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS" in str(session.fingerprint), (
        "what children do not get is told by name"
    )
