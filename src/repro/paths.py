"""Where everything lives in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params"
BUILDS_TOML = PARAMS / "builds.toml"
EXPERIMENTS_TOML = PARAMS / "experiments.toml"
PARAMETER_FILES = PARAMS / "elastix"
WHEEL_LOCKS = PARAMS / "wheels"
DATA = ROOT / "data"
IMAGES_TOML = DATA / "images.toml"
REPORTED_CSV = DATA / "reported.csv"
RECIPE = ROOT / "recipe" / "elastix_pool.py"
# Everything below is made by us and may be deleted at any time; nothing of it is committed (but for results/reference).
BUILDS = ROOT / ".builds"
CACHE = ROOT / ".cache"
RESULTS = ROOT / "results"
REFERENCE = RESULTS / "reference"


def shown(path: Path) -> str:
    """The path as people know it: relative to the checkout where it lies inside it."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)


def called_from() -> Path:
    """The folder in which the user typed the command; names of the user's files are looked up there.

    tasks/run.py (REPRO_CWD) and pixi (INIT_CWD) start programs in the checkout.
    """
    folder = os.environ.get("REPRO_CWD") or ("PIXI_PROJECT_ROOT" in os.environ and os.environ.get("INIT_CWD"))
    return Path(folder or Path.cwd())
