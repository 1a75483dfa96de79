"""Remove what the tasks made in the checkout, and nothing else. Standard library only, and repro.system."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import privatevenv
from repro import system as platforms

_FOLDERS = (".pairs", ".cache", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
_KEPT_RESULTS = ("reference",)
_SOURCES = ("src", "tasks", "tests")


def clean(root: Path, say: Callable[[str], None]) -> None:
    """Remove it; a link is removed, never what it leads to."""
    for path in made(root):
        say(f"removes {path.relative_to(root)}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(platforms.long_path(path))
        else:
            path.unlink()
    if (root / ".pixi").exists():
        say("keeps .pixi: `pixi clean` removes it")


def made(root: Path) -> Iterator[Path]:
    """What there is to remove."""
    yield from (root / name for name in _FOLDERS if (root / name).exists() or (root / name).is_symlink())
    if privatevenv.is_ours(root / privatevenv.FOLDER):
        yield root / privatevenv.FOLDER
    results = root / "results"
    if results.is_dir() and not results.is_symlink():
        yield from sorted(path for path in results.iterdir() if path.name not in _KEPT_RESULTS)
    for source in _SOURCES:
        yield from sorted((root / source).rglob("__pycache__"))
