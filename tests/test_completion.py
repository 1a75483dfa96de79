"""Completion in real shells, where they are installed; what typer answers in all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from repro import system as platforms
from repro.builds.config import load_pairs
from repro.cli import completion
from repro.cli.completion import INSTALL, SCRIPTS, SHOW, asked
from repro.errors import ConfigError
from repro.layout import ROOT

PAIR = next(iter(load_pairs()))
LINES = {
    "bash": """{load}
COMP_WORDS=(repro merg) COMP_CWORD=1; _repro_completion; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(repro bench --experiment caus) COMP_CWORD=3; _repro_completion; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(repro bench {pair}) COMP_CWORD=2; _repro_completion; echo "${{COMPREPLY[@]}}"
""",
    # Outside of a line editor zsh has no _arguments: here it says what it is given.
    "zsh": """{load}
print -- $_comps[repro]
_arguments() {{ print -r -- "$@" }}
words=(repro merg); CURRENT=2; _repro_completion
words=(repro bench --experiment caus); CURRENT=4; _repro_completion
words=(repro bench {pair}); CURRENT=3; _repro_completion
""",
    "fish": """{load}
complete -C "repro merg"
complete -C "repro bench --experiment caus"
complete -C "repro bench {pair}"
""",
}
START = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}


@pytest.mark.parametrize("shell", LINES)
def test_a_real_shell_completes_commands_experiments_and_pairs(
    shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    if shutil.which(shell) is None or sys.platform == "win32":
        pytest.skip(f"there is no {shell} here")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    load = completion._LOAD[shell].format(command=f"'{sys.executable}' -m repro {SHOW} {shell}")
    script = LINES[shell].format(load=load, pair=PAIR)
    done = subprocess.run(
        [*START[shell], "-c", script], cwd=str(tmp_path), env=os.environ | {"HOME": str(tmp_path)}, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    for word in ("merge", "causes-own", PAIR):
        assert word in done.stdout
    assert "doctor" not in done.stdout


@pytest.mark.parametrize("shell", SCRIPTS)
def test_typer_answers_in_the_way_that_the_script_asks(shell: str) -> None:
    script = asked([SHOW, shell]) or ""
    kind = "powershell" if shell == "pwsh" else shell
    assert f"complete_{kind}" in script
    variables = {
        completion.VARIABLE: f"complete_{kind}", "COMP_WORDS": "repro merg", "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "repro merg", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": "merg", "PYTHONPATH": str(ROOT / "src"),
    }  # fmt: skip
    asks = {"bash": ("COMP_",), "zsh": ("_TYPER_COMPLETE_A",), "fish": ("_TYPER_COMPLETE_A", "_TYPER_COMPLETE_F")}
    starts = asks.get(kind, ("_TYPER_COMPLETE_A", "_TYPER_COMPLETE_W"))
    assert all(name in script for name in variables if name.startswith(starts))
    done = subprocess.run(
        [sys.executable, "-m", "repro"], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert "merge" in done.stdout
    assert "doctor" not in done.stdout


def test_the_line_to_keep_is_said() -> None:
    assert f'eval "$(env PYTHONPATH={ROOT / "src"}' in (asked([INSTALL, "bash"]) or "").replace("'", "")
    assert (asked([INSTALL, "fish"]) or "").endswith("| source\n")
    assert asked([]) is None
    assert asked(["bench", SHOW]) is None


def test_an_unknown_shell_is_refused() -> None:
    with pytest.raises(ConfigError, match="no completion for the shell 'tcsh'; name one of: bash"):
        asked([SHOW, "tcsh"])


def test_the_shell_of_the_person_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "users_shell", lambda: "fish")
    assert (asked([SHOW]) or "").startswith("function repro; env PYTHONPATH=")
    monkeypatch.setattr(platforms, "users_shell", lambda: "powershell")
    assert (asked([SHOW]) or "").startswith("function repro { $Env:PYTHONPATH = '")
