"""A house for tests of builds: folders, a catalogue, wheels that uv finds, executables that run on every system.

The stand-in for elastix is a console script that uv makes from a wheel: a script on Linux and macOS, an .exe on
Windows.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repro.builds import catalogue, wheels
from repro.builds.catalogue import Catalogue, CatalogueBuild
from repro.builds.fetch import fetch
from repro.builds.installed import InstalledBuild
from repro.system.platforms import executable_name, venv_programs
from support import builds_wheels

SAYS = ("5.2.0", "5.3.1", "5.3.2", "9.9.9", "hello", "fails", "hangs")
"""What a stand-in can say: a version of elastix; something else; nothing with status 3; nothing for ever."""
_PROGRAM = """
import sys, time
def say(what, name):
    if what == "hangs":
        time.sleep(60)
    if what == "fails":
        print("error while loading shared libraries: libfoo.so", file=sys.stderr)
        sys.exit(3)
    print(what if what == "hello" else f"{name} version: {what}\\nITK version: 5.4.7")
    print(sys.argv[1:])
def __getattr__(name):
    if not name.startswith("say_"):
        raise AttributeError(name)
    _, what, program = name.split("_", 2)
    return lambda: say(what.replace("x", "."), program)
"""


@functools.cache
def _programs() -> Path:
    """A folder with a program for everything that is said, made once."""
    home = Path(tempfile.mkdtemp(prefix="stand-in-"))
    uv = str(wheels.find_uv())
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home / "venv"], check=True)
    names = [(f"say_{what.replace('.', 'x')}_{program}") for what in SAYS for program in ("elastix", "transformix")]
    entries = "[console_scripts]\n" + "".join(f"{name} = stand_in:{name}\n" for name in names)
    info = "stand_in-1.dist-info/entry_points.txt"
    wheel = builds_wheels.make(home, "stand-in", "1", files={"stand_in.py": _PROGRAM.encode(), info: entries.encode()})
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-index", f"--python={home / 'venv'}", str(wheel)]
    subprocess.run(install, check=True)
    return venv_programs(home / "venv")


def program(file: Path, says: str = "5.3.1", name: str = "elastix") -> Path:
    """A program at this place that says this when asked for its version."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_programs() / executable_name(f"say_{says.replace('.', 'x')}_{name}"), file)
    file.chmod(0o755)
    return file


def layout(folder: Path, says: str = "5.3.1", *, transformix: bool = True) -> Path:
    """A folder laid out as a release: bin/ and lib/."""
    program(folder / "bin" / executable_name("elastix"), says)
    if transformix:
        program(folder / "bin" / executable_name("transformix"), says, "transformix")
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "libANNlib-5.3.so").write_bytes(b"a library")
    return folder


def zipped(folder: Path, file: Path, *, executable: bool = True) -> Path:
    """The folder as a zip archive; ``executable`` keeps that bit, which archives of CI lose."""
    with zipfile.ZipFile(file, "w") as opened:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                entry = zipfile.ZipInfo(one.relative_to(folder).as_posix())
                entry.external_attr = (one.stat().st_mode if executable else 0o100644) << 16
                opened.writestr(entry, one.read_bytes())
    return file


@dataclass
class House:
    """Folders of a checkout, and the builds that it knows."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "builds"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    def api(self, version: str = "0.25.4", itk: str = "5.4.7", python: str = "") -> CatalogueBuild:
        """An api build with a lock of three small wheels, which uv finds; alone in the catalogue until `knows`."""
        python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        build = CatalogueBuild("api", version, python, datetime.date(2026, 8, 22), environment="pair-x")
        parts = [("itk-elastix", version, [f"itk~={itk}"]), ("itk", itk, [f"itk-core=={itk}"]), ("itk-core", itk, [])]
        self.lock(build, [builds_wheels.make(self.index, name, number, needs=needs) for name, number, needs in parts])
        self.knows(build)
        return build

    def sitk(self) -> CatalogueBuild:
        """A sitk build."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        build = CatalogueBuild("sitk", "3.0.0", python, datetime.date(2026, 8, 22))
        self.lock(build, [builds_wheels.make(self.index, "simpleitk-simpleelastix", "3.0.0")])
        return build

    def lock(self, build: CatalogueBuild, files: Sequence[Path]) -> None:
        """Write the lock that names these wheels."""
        text = ""
        for file in files:
            name, version = file.name.split("-")[:2]
            text += f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{_sha256(file)}\n"
        build.lock.write_text(text, encoding="utf-8")

    def knows(self, *builds: CatalogueBuild, pair: tuple[str, str] | None = None) -> Catalogue:
        """Let these be the builds of the catalogue."""
        pairs = {}
        if pair:
            api, cli = pair
            name = f"{api.partition(':')[2]}-{cli.partition(':')[2]}"
            pairs[name] = catalogue.Pair(name, cli, api, None, "", "")
        known = Catalogue({build.name: build for build in builds}, pairs)
        for module in ("installed", "given"):
            self.monkeypatch.setattr(f"repro.builds.{module}.load_catalogue", lambda: known)
        return known

    def fetch(self, build: CatalogueBuild, **options: object) -> InstalledBuild:
        return fetch(build, root=self.root, cache=self.cache, say=self.said.append, **options)  # type: ignore[arg-type]

    def left(self) -> list[str]:
        """What lies in the folder of builds, but for locks."""
        return sorted(one.name for one in self.root.glob("*") if not one.name.endswith(".lock"))


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A new house; uv finds nothing but its wheels, and pixi is out of sight."""
    house = House(folder, monkeypatch)
    (folder / "locks").mkdir()
    house.index.mkdir()
    monkeypatch.setattr(catalogue, "WHEEL_LOCKS", folder / "locks")
    monkeypatch.setattr("repro.builds.pythons.ROOT", folder)
    for name in ("UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "PIXI_PROJECT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    settings = {"UV_NO_CONFIG": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(house.index)}
    for name, value in (settings | {"UV_CACHE_DIR": str(folder / "uv")}).items():
        monkeypatch.setenv(name, value)
    return house


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
