"""Debian packages, unpacked into a folder of their own: no root, nothing installed. Standard library only.

apt gets a private state, an empty list of installed packages and the mirrors that the machine's own apt uses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
_TIMEOUT_S = 600


def unpack(package: str, folder: Path, *, suite: str = "", needed: bool = True) -> Path:
    """The tree of the package, with ``needed`` and of all that apt would install for it; what is there already stays.

    ``suite`` is the release to take it from, by default the machine's own. Raises OSError or
    subprocess.SubprocessError where this machine has no apt, or its mirrors do not give it.
    """
    tree = folder / "tree"
    if tree.is_dir():
        return tree
    for part in ("lists/partial", "cache/archives/partial", "unpacking"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    options = {
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # who calls: the folder may be closed to others
        "APT::Install-Recommends": "false",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Debug::NoLocking": "true",
    }
    if suite:
        (folder / "sources.list").write_text(_source(suite), encoding="utf-8")
        options |= {"Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "-"}
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    _run([*apt, "update"], folder)
    if needed:
        _run([*apt, "--yes", "--download-only", "install", package], folder)
    else:
        _run([*apt, "download", package], folder / "cache/archives")
    for deb in sorted((folder / "cache/archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(deb), str(folder / "unpacking")], folder)
        deb.unlink()
    return (folder / "unpacking").rename(tree)


def python(version: str, folder: Path, suite: str) -> Path:
    """An interpreter of this version, such as "3.14", that runs with the libraries of its own suite.

    It is a script that starts the interpreter through its own dynamic loader; a venv made from it works.
    """
    programs = unpack(f"python{version}", folder, suite=suite) / "usr/bin"
    libraries = next(programs.parent.glob("lib/*-linux-gnu*"))
    loader = next(file for file in programs.parent.rglob("ld-linux*.so.*") if not file.is_symlink())
    start = f'"{loader}" --library-path "{libraries}" --argv0 "$0" "{programs / f"python{version}"}"'
    script = programs / "python"
    script.unlink(missing_ok=True)
    script.write_text(f'#!/bin/sh\nexec {start} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def _source(suite: str) -> str:
    """The line of the suite on a mirror that the machine's own apt uses."""
    told = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], Path.cwd())
    mirror = next((uri for uri in told.splitlines() if re.search(r"/debian/?$", uri)), None)
    keyring = next((one for one in KEYRINGS if Path(one).is_file()), None)
    if mirror is None or keyring is None:
        raise OSError("the apt of this machine uses no mirror of Debian, or has no keyring of Debian's archive")
    return f"deb [signed-by={keyring}] {mirror} {suite} main\n"


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{Path(command[0]).name}: {done.stderr.strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    print(python(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3]))
