"""In a pair's shell `elastix` and `import itk` are the pair's; where they are not fetched, the command is said."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.tasks import TASKS

FILE = TASKS / "activate" / "pair.py"
PAIRS = {"0.25.4-5.3.1": {"api": "0.25.4", "cli": "5.3.1"}, "0.25.4-5.3": {"api": "0.25.4", "cli": "5.3"}}
OUTER = {"PIXI_ENVIRONMENT_NAME": "pair-0-25-4-5-3-1", "PATH": "/usr/bin", "PYTHONPATH": "/mine"}


@pytest.fixture(scope="module")
def pair() -> Any:
    spec = importlib.util.spec_from_file_location("pair_shell", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pairs_programs_come_first_and_its_wheels_last(pair: Any, tmp_path: Path) -> None:
    programs, wheels = tmp_path / "cli-5.3.1" / "bin", tmp_path / "api-0.25.4" / "site-packages"
    programs.mkdir(parents=True)
    wheels.mkdir(parents=True)
    found = pair.settings(OUTER, tmp_path, PAIRS)
    assert found["PATH"] == f"{programs}{os.pathsep}/usr/bin"
    assert found["PYTHONPATH"] == f"/mine{os.pathsep}{wheels}"
    assert found["ELASTIX_PAIR"] == "0.25.4-5.3.1"


def test_the_environment_of_no_pair_stays_as_it_is(pair: Any, tmp_path: Path) -> None:
    assert pair.settings({**OUTER, "PIXI_ENVIRONMENT_NAME": "default"}, tmp_path, PAIRS) == {}
    assert pair.settings({}, tmp_path, PAIRS) == {}


def test_values_reach_cmd_as_they_are(pair: Any) -> None:
    assert pair.lines({"PATH": r"C:\a b & c;C:\d"}, "bat") == [r'set "PATH=C:\a b & c;C:\d"']


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_bash_takes_odd_folders_as_they_are(pair: Any) -> None:
    value = '/it\'s/"a"/$HOME/`x`/\N{LATIN SMALL LETTER E WITH ACUTE}'
    script = "\n".join([*pair.lines({"ODD": value}, "sh"), 'printf %s "$ODD"'])
    done = subprocess.run(["bash", "-c", script], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == value


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_what_is_not_fetched_says_the_command(pair: Any, tmp_path: Path) -> None:
    variables = {**os.environ, **pair.settings({**OUTER, "PATH": os.environ["PATH"]}, tmp_path, PAIRS)}
    for words in (["elastix", "--version"], [sys.executable, "-c", "import itk"]):
        done = subprocess.run(words, env=variables, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode != 0
        assert "not fetched; run: pixi run fetch 0.25.4-5.3.1" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_the_script_that_pixi_runs_sets_the_pair(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    variables = {**OUTER, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PIXI_PROJECT_ROOT": str(TASKS.parent)}
    script = f'. "{TASKS / "activate" / "pair.sh"}" && printf %s "$ELASTIX_PAIR"'
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "0.25.4-5.3.1"
