"""A small campaign of tasks/kill.py; docs/reliability.md has the large ones."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.tasks import task

kill = task("kill")


@pytest.mark.skipif(sys.platform == "win32", reason="a killed launcher's children are looked for as on POSIX")
def test_a_run_killed_at_random_moments_loses_doubles_and_leaves_nothing() -> None:
    command = [sys.executable, kill.__file__, "--kills", "2", "--blocks", "2"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 of 2 kills recovered, 0 processes left")


def test_what_is_amiss_is_seen() -> None:
    """The comparison behind that campaign can fail."""
    lines = (b'{"n": 1}', b'{"n": 2}')
    good = kill.State(lines, Counter(a=1, b=1), Counter(x=1), frozenset({"file"}), (("status",), ("ok",)), ())
    assert kill.differences(good, good, good) == []

    def said(**change: object) -> list[str]:
        found: list[str] = kill.differences(good, dataclasses.replace(good, **change), good)
        return [text.partition(":")[0] for text in found]

    assert said(lines=lines[1:]) == ["lines that were there are no longer there as they were"]
    assert said(blocks=Counter(b=2)) == ["1 too many of blocks b", "no blocks a"]
    assert said(trials=Counter(x=1, y=1)) == ["1 too many of trials y"]
    assert said(files=frozenset({"file", ".tmp"})) == ["left"]
    assert said(files=frozenset()) == ["missing"]
    assert said(table=()) == ["another comparison"]


@pytest.mark.parametrize(
    ("content", "torn"), [("a,b\n1,2\n", False), ("a,b\n1,2", True), ("a,b\n1\n", True), ("a,b\n1,2,3\n", True)]
)
def test_a_torn_table_is_seen(tmp_path: Path, content: str, torn: bool) -> None:
    (tmp_path / "trials.csv").write_text(content, encoding="utf-8")
    assert (kill.state(tmp_path).torn_tables != ()) == torn
