"""What a pair's shell sets, as lines of its shell: `elastix` is the pair's executable, `import itk` its itk-elastix.

The pair's environment of pixi runs it (pair.sh, pair.bat), where nothing is installed but Python. Where a build is not
fetched, `elastix` and `import itk` say the command that fetches it.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MISSING = HERE / "missing"


def settings(outer: Mapping[str, str], builds: Path, pairs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The variables of the pair whose environment this is; none where it is that of no pair."""
    known = {"pair-" + name.replace(".", "-"): name for name in pairs}
    pair = known.get(outer.get("PIXI_ENVIRONMENT_NAME", ""))
    if pair is None:
        return {}
    programs = builds / f"cli-{pairs[pair]['cli']}" / "bin"
    wheels = builds / f"api-{pairs[pair]['api']}" / "site-packages"
    path = [str(programs if programs.is_dir() else MISSING), outer.get("PATH", "")]
    modules = [outer.get("PYTHONPATH", ""), str(wheels if wheels.is_dir() else MISSING)]
    return {
        "PATH": os.pathsep.join(filter(None, path)),
        "PYTHONPATH": os.pathsep.join(filter(None, modules)),
        # Packages in ~/.local would come before the pair's; bytecode would change the build.
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ELASTIX_PAIR": pair,
    }


def lines(variables: Mapping[str, str], shell: str) -> Sequence[str]:
    """Commands of bash ("sh") or cmd.exe ("bat") that set the variables."""
    if shell == "bat":
        return [f'set "{name}={value}"' for name, value in variables.items()]
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


if __name__ == "__main__":
    known_pairs = tomllib.loads((ROOT / "params" / "builds.toml").read_text(encoding="utf-8"))["pair"]
    if sys.argv[1] == "bat":  # cmd.exe reads it in the code page of its console
        page = vars(ctypes)["windll"].kernel32.GetConsoleOutputCP()
        sys.stdout = open(1, "w", encoding=f"cp{page}" if page else "oem", closefd=False)  # noqa: SIM115
    print("\n".join(lines(settings(os.environ, ROOT / ".builds", known_pairs), sys.argv[1])))
