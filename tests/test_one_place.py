"""Only repro.system asks which system it runs on; what may not depend on it, depends on nothing of ours."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from repro.layout import ROOT

PACKAGE = ROOT / "src" / "repro" / "platforms"
ALONE = {ROOT / "src" / "repro" / "recipe.py"}
"""Copied by people into projects of theirs: it has its own check, and imports nothing of ours."""
SYSTEMS = {"linux", "darwin", "win32", "cygwin", "nt", "posix"}
OF_ONE_SYSTEM = {"ctypes", "resource", "fcntl", "termios", "pwd", "grp", "msvcrt", "winreg", "_winapi", "nt", "posix"}


def asked(source: str) -> Iterator[str]:
    """Where the source tells systems apart."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            if ast.unparse(node) in (
                "sys.platform",
                "os.name",
                "platform.system",
                "platform.uname",
                "sysconfig.get_platform",
            ):
                yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in OF_ONE_SYSTEM)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{name.name}" for name in node.names} & {
                "sys.platform",
                "os.name",
                "platform.system",
            }
            yield from (names if node.module not in OF_ONE_SYSTEM else [node.module])
        elif isinstance(node, ast.Constant) and re.match("/(proc|sys)(/.|$)", str(node.value)):
            yield str(node.value)
        elif isinstance(node, ast.Compare):
            sides = [side for one in (node.left, *node.comparators) for side in ast.walk(one)]
            yield from (side.value for side in sides if isinstance(side, ast.Constant) and side.value in SYSTEMS)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            yield from (word.value for word in node.args if isinstance(word, ast.Constant) and word.value in SYSTEMS)


def test_only_one_package_asks_which_system_it_is() -> None:
    files = [*(ROOT / "src" / "repro").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")]
    others = [file for file in files if PACKAGE not in file.parents and file not in ALONE]
    assert len(others) > 100
    found = {file.name: list(asked(file.read_text(encoding="utf-8"))) for file in others}
    assert {name: words for name, words in found.items() if words} == {}
    assert all(list(asked(file.read_text(encoding="utf-8"))) for file in ALONE), "it needs no exception any more"


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nx = 1 if sys.platform == system else 2",
        "import os\nflags = re.IGNORECASE if os.name in names else 0",
        "from sys import platform",
        "import ctypes.wintypes",
        "def peak():\n    import resource",
        "from fcntl import flock",
        'if system == "win32": pass',
        'if system in ("linux", "darwin"): pass',
        'if system.startswith("linux"): pass',
        "import platform\nplatform.system()",
        'Path("/proc/self/io")',
    ],
)
def test_a_question_is_found(source: str) -> None:
    assert list(asked(source))


def test_the_house_names_the_exception() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    paragraph = page.partition("## On every system")[2].partition("\n## ")[0]
    assert [file.stem for file in ALONE if f"`{file.stem}`" not in paragraph] == []


@pytest.mark.parametrize("name", ["launcher", "unix", "windows", "used", "forking"])
def test_what_is_started_as_a_file_imports_nothing_of_ours(name: str) -> None:
    imported = re.findall(
        r"^\s*(?:from|import) (\w+)", (PACKAGE / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert "repro" not in imported
    assert "pathlib" not in imported, "it makes the launcher bigger, and with it the least peak of a child"


def test_every_module_is_short() -> None:
    lines = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in (ROOT / "src").rglob("*.py")}
    assert {name: length for name, length in lines.items() if length >= 300} == {}
