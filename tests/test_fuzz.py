"""Every parser of ours takes damaged and hostile input: a result or a clear error, in bounded time and memory.

A few examples each; ``python tasks/fuzz.py --seconds 600`` takes its time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

import fuzz
from fuzztargets import Target, targets
from repro.errors import ConfigError

EXAMPLES = 60
NAMES = [
    *("pairs.toml", "experiments.toml", "images.toml", "elastix.log", "parameter file", "transforms", "raw lines"),
    *("reported.csv", "packed archive", "release archive", "image header", "installed.json", "trusted.json"),
    *("wheel lock", "apt"),
]

NEVER_REFUSE = ("elastix.log", "raw lines", "apt")
"""These leave out what they cannot use."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {target.name: target for target in targets(tmp_path_factory.mktemp("seeds"))}


def test_no_parser_is_forgotten(known: dict[str, Target]) -> None:
    assert list(known) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_gives_a_result_or_a_clear_error(known: dict[str, Target], name: str) -> None:
    tally = fuzz.fuzz(known[name], seconds=60, examples=EXAMPLES)
    # Input that is always refused at once, or never, shows nothing.
    assert tally.results >= EXAMPLES / 20
    assert name in NEVER_REFUSE or tally.refused >= EXAMPLES / 20


def parser(parse: object) -> Target:
    return Target("made up", st.binary(min_size=1), parse, Path())  # type: ignore[arg-type]


def test_the_fuzzer_finds_what_is_no_clear_error() -> None:
    def broken(content: bytes, _: Path) -> None:
        if b"7" in content:
            raise KeyError("7")
        raise ConfigError("a clear error")

    with pytest.raises(KeyError):
        fuzz.fuzz(parser(broken), seconds=60)


def test_the_fuzzer_finds_an_error_that_says_nothing() -> None:
    def mute(_: bytes, __: Path) -> None:
        raise ConfigError("x")

    with pytest.raises(AssertionError, match="says nothing"):
        fuzz.fuzz(parser(mute), seconds=60, examples=1)


@pytest.mark.skipif(sys.platform == "win32", reason="no timers there: a hang ends the process with a traceback")
def test_the_fuzzer_finds_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "HANG_S", 0.2)
    with pytest.raises(fuzz.HangError, match="longer than"):
        fuzz.fuzz(parser(lambda *_: time.sleep(60)), seconds=60, examples=1)


def test_the_command_names_its_parsers() -> None:
    command = [sys.executable, fuzz.__file__, "--seconds", "1", "no such parser"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there are: pairs.toml" in done.stderr
