"""Which Python runs a build's wheels.

Wheels are installed for one Python: itk's own fit every Python from 3.11 on, numpy's do not, nor does bytecode. Under
pixi that is the build's own Python, which its pair's environment has; without pixi the running one, unless an
environment of pixi with the build's own is there. So going from one to the other installs nothing anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from repro.builds.catalogue import CatalogueBuild
from repro.errors import UnavailableError
from repro.paths import ROOT
from repro.system.platforms import base_interpreter, python_of


def running() -> str:
    """This Python, as "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def tag(python: str) -> str:
    """The tag of CPython wheels for "3.11": "cp311"."""
    return "cp" + python.replace(".", "")


def version(python_tag: str) -> str:
    """The reverse: "3.11" of "cp311"."""
    return f"{python_tag[2]}.{python_tag[3:]}"


def find(python: str) -> Path | None:
    """An interpreter of this version: this one or that of a pixi environment, under pixi the environment's first."""
    this = [base_interpreter(sys.executable)] if python == running() else []
    made = [meta.parent.parent for meta in ROOT.glob(f".pixi/envs/*/conda-meta/python-{python}.*.json")]
    pixi = [python_of(prefix) for prefix in sorted(made, key=lambda one: (not one.name.startswith("pair-"), one))]
    found = pixi + this if _under_pixi() else this + pixi
    return next((one for one in found if one.is_file()), None)


def target(build: CatalogueBuild) -> str:
    """The Python for which the build's wheels are to be here, as "3.11".

    Raises UnavailableError where pixi has not made the build's environment yet.
    """
    if find(build.python):
        return build.python
    if _under_pixi():
        raise UnavailableError(
            f"{build.name} needs Python {build.python}, whose environment is not there yet; "
            f"run: pixi install -e {build.environment}"
        )
    return running()


def _under_pixi() -> bool:
    return bool(os.environ.get("PIXI_PROJECT_ROOT"))
