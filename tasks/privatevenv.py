"""The private venv: what params/tools.txt locks, in .venv, for machines without pixi.

It is there whole or not at all: the stamp that says so is written last, and a stamp that does not
fit (another lock, another Python) means that it is made anew. Standard library only, and repro.system.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from repro import system as platforms

FOLDER = ".venv"
_LOCK_FILE = Path("params/tools.txt")
# Written first, as a sign that the folder is ours to remove; filled last.
_STAMP = "made-by-tasks-run"
_TIMEOUT_S = 1800
# Seconds: connections, and for pip reads too. What the user has set comes first.
_BOUNDS = {"PIP_DEFAULT_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_TIMEOUT": "20"}

Say = Callable[[str], None]


class VenvError(Exception):
    """The venv cannot be made; the message says why and what to do."""


def ensure(root: Path, say: Say) -> Path:
    """The venv's folder, made first where it is missing, unfinished or stale.

    Raises VenvError.
    """
    venv, stamp = root / FOLDER, stamp_of(root / _LOCK_FILE)
    if _stamped(venv) != stamp:
        with _alone(root / ".cache" / "venv.lock", say):
            if _stamped(venv) != stamp:
                _make(venv, root / _LOCK_FILE, stamp, say)
    return venv


def is_ours(venv: Path) -> bool:
    """Whether the folder was made here, finished or not."""
    return (venv / _STAMP).is_file()


def certificates(variables: Mapping[str, str]) -> dict[str, str]:
    """What makes uv and pip trust what this machine trusts (a company's proxy, a private mirror).

    The certificates that the user names for any tool; else those of the machine. Empty where there are none: uv then
    uses those that it carries.
    """
    named = (variables.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"))
    if bundle := next(filter(None, named), None):
        return {"SSL_CERT_FILE": bundle, "PIP_CERT": variables.get("PIP_CERT", bundle)}
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.openssl_capath)
    known = platforms.keeps_certificates() or paths.cafile is not None or (folder.is_dir() and any(folder.iterdir()))
    return {"UV_SYSTEM_CERTS": "true"} if known and "UV_SYSTEM_CERTS" not in variables else {}


def stamp_of(lock: Path) -> str:
    """What the venv is made of: the lock and the Python, as one digest."""
    content = (lock.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), os.fsencode(lock.resolve().parent))
    return hashlib.sha256(b"\0".join(content)).hexdigest()


def entry(lock: str, package: str) -> str:
    """The lines of one package in a hash-locked requirements file; empty: it is not there."""
    lines, inside = [], False
    for line in lock.splitlines():
        if not line.startswith((" ", "#")):
            inside = line.startswith(f"{package}==")
        if inside:
            lines.append(line)
    return "\n".join(lines)


def _stamped(venv: Path) -> str:
    try:
        return (venv / _STAMP).read_text(encoding="utf-8") if _program(venv, "python").exists() else ""
    except OSError:
        return ""


def _program(venv: Path, name: str) -> Path:
    return platforms.venv_programs(venv) / platforms.executable_name(name)


def _make(venv: Path, lock: Path, stamp: str, say: Say) -> None:
    if venv.exists() and not is_ours(venv):
        raise VenvError(f"{venv} is there and was not made by tasks/run.py: move it away, or install pixi")
    start = time.monotonic()
    say(f"makes the private venv {FOLDER} from {_LOCK_FILE} (once; about half a minute)")
    if venv.is_symlink():
        venv.unlink()  # what it leads to is another checkout's
    elif venv.exists():
        shutil.rmtree(venv)
    venv.mkdir()
    (venv / _STAMP).touch()
    base = getattr(sys, "_base_executable", sys.executable)
    _run([base, "-m", "venv", "--without-pip", str(venv)], "make the venv")
    python = str(_program(venv, "python"))
    # pip installs uv alone, uv the rest: ten times as fast.
    uv_alone = venv / "uv.txt"
    uv_alone.write_text(entry(lock.read_text(encoding="utf-8"), "uv"), encoding="utf-8")
    pip = _pip(base, venv, say)
    _run([*pip, "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(uv_alone)], "install uv")
    uv = [str(_program(venv, "uv")), "pip", "install", "--python", python]
    _run(
        [*uv, "--quiet", "--require-hashes", "--only-binary=:all:", "--compile-bytecode", "-r", str(lock)],
        "install the packages",
    )
    (venv / _STAMP).write_text(stamp, encoding="utf-8")
    shutil.rmtree(_debian_root(venv.parent), ignore_errors=True)
    say(f"made {FOLDER} in {time.monotonic() - start:.0f} s")


def _pip(base: str, venv: Path, say: Say) -> list[str]:
    """The command of a pip that installs into the venv."""
    python = str(_program(venv, "python"))
    if _is_there("ensurepip"):
        _run([python, "-m", "ensurepip"], "put pip into the venv")
        return [python, "-m", "pip"]
    if _is_there("pip"):
        return [base, "-m", "pip", "--python", python]
    say("this Python has neither ensurepip nor pip: takes pip from Debian's archive, verified by apt")
    return [python, str(_debian_pip(venv.parent) / "pip")]


def _is_there(module: str) -> bool:
    # An empty folder of that name counts as a module too, but has no origin.
    return getattr(importlib.util.find_spec(module), "origin", None) is not None


def _debian_root(root: Path) -> Path:
    return root / ".cache" / "debian-pip"


def _debian_pip(root: Path) -> Path:
    """The wheel in Debian's package python3-pip-whl, got with apt in a private root."""
    sys.path.insert(0, str(root / "src"))
    from repro.builds.apt import Apt
    from repro.errors import ReproError

    cure = "on Debian and Ubuntu `sudo apt install python3-venv`, elsewhere install pip, or install pixi"
    try:
        suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
        apt = Apt.prepare(suite, _debian_root(root))
        apt.update()
        for package in apt.packages(apt.records(["python3-pip-whl"]).values(), offline=False):
            _run(["dpkg-deb", "--extract", str(package), str(apt.root / "tree")], "unpack pip")
        return next((apt.root / "tree").rglob("pip-*.whl"))
    except (ReproError, OSError, StopIteration) as error:
        raise VenvError(f"this Python has neither ensurepip nor pip, and apt gave none ({error}): {cure}") from error


def _run(command: Sequence[str], what: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables = {**_BOUNDS, **variables, **certificates(variables), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise VenvError(f"could not {what} within {_TIMEOUT_S} s; nothing is left half done, try again") from error
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise VenvError(f"could not {what} (status {done.returncode}); nothing is left half done, try again:\n{said}")


@contextmanager
def _alone(file: Path, say: Say) -> Iterator[None]:
    """Hold the file's lock; the system lets it go when the process ends, however it ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as handle:
        if not platforms.try_lock(handle.fileno()):
            say("waits for another tasks/run.py that makes the private venv")
            while not platforms.try_lock(handle.fileno()):
                time.sleep(0.2)
        yield
