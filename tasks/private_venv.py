"""The private venv: what params/tools.txt locks, in .venv, for machines without pixi.

It is there whole or not at all: the stamp that says so is written last, and a stamp that does not fit (another lock,
another Python) means that it is made anew. Standard library only, and repro.system.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import debian
from repro.system.children import Command, Launcher, tail_of
from repro.system.platforms import SYSTEM, base_interpreter, executable_name, venv_programs
from repro.system.processes import try_lock

FOLDER = ".venv"
_LOCK_FILE = Path("params/tools.txt")
# Written first, as a sign that the folder is ours to remove; filled last.
_STAMP = "made-by-tasks-run"
_TIMEOUT_S = 1800.0
_GONE_S = 10.0
"""What a killed run has started is gone within this."""
_CURE = "on Debian and Ubuntu `sudo apt install python3-venv`, elsewhere install pip, or install pixi"
# Of the user's settings of pip and uv only these reach them: an index, a way to it, where to keep what was downloaded.
# A target, a prefix, a constraint or a dry run, usual on clusters, would bend what is installed, or refuse it.
_REACHING = re.compile(
    r"(PIP|UV)_(INDEX.*|DEFAULT_INDEX|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|TRUSTED_HOST|INSECURE_HOST|PROXY|CERT|CLIENT_CERT"
    r"|SSL.*|NATIVE_TLS|SYSTEM_CERTS|KEYRING_PROVIDER|.*TIMEOUT|RETRIES|CACHE_DIR|OFFLINE|LINK_MODE|CONCURRENT.*)"
)
# Seconds: connections, and for pip reads too. What the user has set comes first.
_BOUNDS = {"PIP_DEFAULT_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_TIMEOUT": "20"}

Say = Callable[[str], None]


class VenvError(Exception):
    """The venv cannot be made; the message says why and what to do."""


def ensure(root: Path, say: Say) -> Path:
    """The venv's folder, made first where it is missing, unfinished or stale. Raises VenvError."""
    venv, stamp = root / FOLDER, stamp_of(root / _LOCK_FILE)
    if _stamped(venv) != stamp:
        with _alone(root / ".cache" / "venv.lock", say):
            if _stamped(venv) != stamp:
                _make(venv, root / _LOCK_FILE, stamp, say)
    return venv


def is_ours(venv: Path) -> bool:
    """Whether it was made here, finished or not."""
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
    # Windows keeps them elsewhere than in files.
    known = SYSTEM == "win32" or paths.cafile is not None or (folder.is_dir() and any(folder.iterdir()))
    return {"UV_SYSTEM_CERTS": "true"} if known and "UV_SYSTEM_CERTS" not in variables else {}


def installing_environment(variables: Mapping[str, str], pip_settings: str = "") -> dict[str, str]:
    """The environment of pip and uv: the user's own, but of their settings only those about reaching packages.

    ``pip_settings`` is what `pip config list` prints: lines such as ``global.index-url='...'``.
    """
    own = re.compile(r"PIP_|UV_|PYTHON(PATH|HOME)$|VIRTUAL_ENV$|CONDA_PREFIX$")
    kept = {name: value for name, value in variables.items() if not own.match(name) or _REACHING.fullmatch(name)}
    files = {}
    for section, key, value in re.findall(r"^(global|install)\.([\w-]+)=(.+)$", pip_settings, re.MULTILINE):
        name = "PIP_" + key.upper().replace("-", "_")
        if _REACHING.fullmatch(name) and (section == "install" or name not in files):
            files[name] = str(ast.literal_eval(value)).strip()
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**_BOUNDS, **files, **kept, **certificates(kept), **settings}


def stamp_of(lock: Path) -> str:
    """What the venv is made of: the lock and the Python, as one digest."""
    content = (lock.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), os.fsencode(lock.resolve().parent))
    return hashlib.sha256(b"\0".join(content)).hexdigest()


def entry(lock: str, package: str) -> str:
    """The lines of one package in a hash-locked requirements file; empty: it is not there."""
    found = re.search(rf"^{package}==.*(?:\n .*)*", lock, re.MULTILINE)
    return found[0] if found else ""


def _stamped(venv: Path) -> str:
    try:
        return (venv / _STAMP).read_text(encoding="utf-8") if _program(venv, "python").exists() else ""
    except OSError:
        return ""


def _program(venv: Path, name: str) -> Path:
    return venv_programs(venv) / executable_name(name)


def _make(venv: Path, lock: Path, stamp: str, say: Say) -> None:
    if venv.exists() and not is_ours(venv):
        raise VenvError(f"{venv} is there and was not made by tasks/run.py: move it away, or install pixi")
    start = time.monotonic()
    say(f"makes the private venv {FOLDER} from {_LOCK_FILE.as_posix()} (once; about half a minute)")
    if venv.is_symlink():
        venv.unlink()  # what it leads to is another checkout's
    elif venv.exists():
        _remove(venv)
    venv.mkdir()
    (venv / _STAMP).touch()
    base = str(base_interpreter(getattr(sys, "_base_executable", sys.executable)))
    _run([base, "-m", "venv", "--without-pip", str(venv)], "make the venv", {**os.environ})
    python = str(_program(venv, "python"))
    # pip installs uv alone, uv the rest: ten times as fast.
    uv_alone = venv / "uv.txt"
    uv_alone.write_text(entry(lock.read_text(encoding="utf-8"), "uv"), encoding="utf-8")
    pip = _pip(base, venv, say)
    environment = installing_environment(os.environ, _pip_settings(pip))
    hashed = ["--quiet", "--require-hashes", "--only-binary", ":all:", "-r"]
    _run([*pip, "install", *hashed, str(uv_alone)], "install uv", environment)
    uv = [str(_program(venv, "uv")), "pip", "install", "--python", python, "--compile-bytecode"]
    _run([*uv, *hashed, str(lock)], "install the packages", environment)
    (venv / _STAMP).write_text(stamp, encoding="utf-8")
    shutil.rmtree(_debian_folder(venv), ignore_errors=True)
    say(f"made {FOLDER} in {time.monotonic() - start:.0f} s")


def _remove(folder: Path) -> None:
    """Remove the folder, also while what a killed run has started is ending in it."""
    deadline = time.monotonic() + _GONE_S
    while True:
        try:
            shutil.rmtree(folder)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise VenvError(f"{error.filename}: cannot be removed: {error.strerror}; remove {folder}") from error
            time.sleep(0.2)


def _pip(base: str, venv: Path, say: Say) -> list[str]:
    """The command of a pip that installs into the venv."""
    python = str(_program(venv, "python"))
    if _is_there("ensurepip"):
        _run([python, "-m", "ensurepip"], "put pip into the venv", installing_environment(os.environ))
        return [python, "-m", "pip"]
    if _is_there("pip"):
        return [base, "-m", "pip", "--python", python]
    say("this Python has neither ensurepip nor pip: takes pip from Debian's archive, verified by apt")
    try:
        tree = debian.unpack("python3-pip-whl", _debian_folder(venv), needed=False)
        return [python, str(next(tree.rglob("pip-*.whl")) / "pip")]
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        raise VenvError(f"this Python has neither ensurepip nor pip, and apt gave none ({error}): {_CURE}") from error


def _pip_settings(pip: Sequence[str]) -> str:
    """What the user's and the machine's configuration files say to pip; empty where it does not tell."""
    done = subprocess.run(
        [*pip, "config", "list"], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return done.stdout if done.returncode == 0 else ""


def _is_there(module: str) -> bool:
    # An empty folder of that name counts as a module too, but has no origin.
    return getattr(importlib.util.find_spec(module), "origin", None) is not None


def _debian_folder(venv: Path) -> Path:
    return venv.parent / ".cache" / "debian-pip"


def _run(command: Sequence[str], what: str, environment: Mapping[str, str]) -> None:
    """Run a program that ends with us, and with it all that it has started. Raises VenvError with its last words."""
    with tempfile.TemporaryDirectory() as folder, Launcher() as launcher:
        said = Path(folder) / "said.txt"
        told = {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        outcome = launcher.run(Command(argv=command, env=told, stdout=said, stderr=said, timeout_s=_TIMEOUT_S))
        if outcome.timed_out or outcome.exit_status != 0:
            raise VenvError(f"could not {what} ({outcome.how}); nothing is left half done, try again:\n{tail_of(said)}")


@contextmanager
def _alone(file: Path, say: Say) -> Iterator[None]:
    """Hold the file's lock; the system lets it go when the process ends, however it ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as handle:
        if not try_lock(handle.fileno()):
            say("waits for another tasks/run.py that makes the private venv")
            while not try_lock(handle.fileno()):
                time.sleep(0.2)
        yield
