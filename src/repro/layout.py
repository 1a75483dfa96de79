"""Where everything lives in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params"
PAIRS_TOML = PARAMS / "pairs.toml"
EXPERIMENTS_TOML = PARAMS / "experiments.toml"
PARAMETER_FILES = PARAMS / "elastix"
WHEEL_LOCKS = PARAMS / "wheels"
DATA = ROOT / "data"
IMAGES_TOML = DATA / "images.toml"
# Everything below is made by us and may be deleted at any time; nothing of it is committed
# (but for results/reference).
PAIRS = ROOT / ".pairs"
CACHE = ROOT / ".cache"
RESULTS = ROOT / "results"


def shown(path: Path) -> str:
    """The path as people know it: relative to the checkout where it lies inside it."""
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)
