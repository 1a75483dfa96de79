"""Profiles: what perf and py-spy write becomes folded stacks without anyone's folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repro.errors import TrialError
from repro.measure import profiling
from repro.measure.profiling import Profiler, busiest, fold, missing

SCRIPT = """elastix
\t    7f01 itk::Inner(int) (/home/someone/lib/libITK.so)
\t    7f00 main (/home/someone/bin/elastix)

elastix
\t    7f01 itk::Inner(int) (/home/someone/lib/libITK.so)
\t    7f00 main (/home/someone/bin/elastix)

elastix
\t    7f09 [unknown] (/home/someone/lib/libc.so.6)
"""


def test_the_samples_of_perf_are_folded_from_the_outermost_frame_in() -> None:
    assert fold(SCRIPT) == ["elastix;main;itk::Inner(int) 2", "elastix;[libc.so.6] 1"]
    assert fold("") == []
    assert fold("elastix\n\t    7f09 [unknown] ([unknown])\n") == ["elastix;[unknown] 1"]


def test_only_the_registration_is_kept_of_what_py_spy_saw(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text(
        "main (worker.py:9);load (worker.py:3);import itk (/home/someone/itk/__init__.py:1) 50\n"
        "main (worker.py:9);register (repro/worker.py:7);itk::Inner (/home/someone/lib/libITK.so) 3\n"
        "main (worker.py:9);register (worker.py:8);0x7f01a2 (/opt/lib/libITK.so);itk::Other (libITK.so) 3\n"
        "main (worker.py:9);register (worker.py:8);0x7f01f8 (/opt/lib/libITK.so);itk::Other (libITK.so) 1\n"
    )
    lines = Profiler("py-spy", "py-spy").folded(raw)
    assert lines[0].startswith("main (worker.py:9);register (worker.py:8);[libITK.so];itk::Other")
    assert [line.rpartition(";")[2] for line in lines] == ["itk::Other (libITK.so) 4", "itk::Inner (libITK.so) 3"]
    assert busiest(lines) == "itk::Other (libITK.so) 57%, itk::Inner (libITK.so) 43%"


def test_a_tool_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="perf wrote nothing"):
        Profiler("perf", "perf").folded(tmp_path / "absent")


def test_absent_tools_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert [words.partition(" is not profiled")[0] for words in missing(("cli", "api"))] == [
        "the executable",
        "the API",
    ]
    assert missing(("api",)) == ["the API is not profiled: neither py-spy nor perf is on the PATH"]
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}" if name == "perf" else None)
    assert missing(("cli", "api")) == []
    tool = profiling.profiler("api")
    assert tool is not None
    assert tool.name == "perf"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows hands no descriptors on")
def test_the_worker_answers_beside_what_a_profiler_prints() -> None:
    """A command in the profiler's place: what it prints goes to the log, its child's answer to the pipe."""
    child = "import os; os.write(int(os.environ['REPRO_ANSWERS']), b'answer')"
    start = f"subprocess.run([sys.executable, '-c', {child!r}], close_fds=False)"
    tool = f"import subprocess, sys; print('banner', flush=True); {start}"
    aside = Path(profiling.__file__).with_name("aside.py")
    done = subprocess.run(
        (sys.executable, "-I", "-S", str(aside), sys.executable, "-c", tool), capture_output=True, check=True
    )
    assert (done.stdout, done.stderr.strip()) == (b"answer", b"banner")


def test_py_spy_is_started_aside_and_perf_as_it_is(tmp_path: Path) -> None:
    spy, perf = (Profiler(name, f"/bin/{name}").prefix(tmp_path / "raw") for name in ("py-spy", "perf"))
    assert spy[3].endswith("aside.py")
    assert spy[4:6] == ("/bin/py-spy", "record")
    assert "--native" in spy
    assert perf[:2] == ("/bin/perf", "record")
    assert spy[-1] == perf[-1] == "--"
