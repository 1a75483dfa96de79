"""A small signed Debian archive on loopback, for apt."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.builds_server import Server, answer

SUITE = "sid"
TOOLS = ("apt-get", "apt-cache", "apt-config", "dpkg", "dpkg-deb", "gpg")
needs_apt = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")


def deb(folder: Path, version: str, text: str) -> bytes:
    """The package elastix of this version, with one program of this text."""
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/elastix").write_text(text, encoding="utf-8")
    about = f"Package: elastix\nVersion: {version}\nArchitecture: {_architecture()}\n"
    (tree / "DEBIAN/control").write_text(f"{about}Maintainer: a <a@example.org>\nDescription: x\n", encoding="utf-8")
    file = folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
    content = file.read_bytes()
    shutil.rmtree(tree)
    return content


class Signer:
    """A key of our own: the keyring with which apt verifies, and what signs the index."""

    def __init__(self, home: Path) -> None:
        # gpg-agent's socket needs a short path.
        home.mkdir(mode=0o700)
        self.environment = {**os.environ, "GNUPGHOME": str(home)}
        self.keyring = home / "keyring.gpg"
        self._gpg("--quick-generate-key", "archive@example.org", "ed25519", "sign", "never")
        self.keyring.write_bytes(self._gpg("--export"))

    def sign(self, text: str) -> bytes:
        """The text as an InRelease."""
        return self._gpg("--clearsign", text=text)

    def close(self) -> None:
        """End the agent that gpg has started."""
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=self.environment, check=False)

    def _gpg(self, *options: str, text: str = "") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", *options]
        done = subprocess.run(command, input=text.encode(), env=self.environment, check=True, capture_output=True)
        return done.stdout


def publish(server: Server, signer: Signer, debs: Mapping[str, bytes], prefix: str = "/debian") -> str:
    """Put the packages (version -> content) into an archive on the server; the path of the last."""
    packages, place = "", ""
    for version, content in debs.items():
        name = f"pool/elastix_{version}_{_architecture()}.deb"
        place = f"{prefix}/{name}"
        server.paths[place] = [answer(body=content)]
        packages += (
            f"Package: elastix\nVersion: {version}\nArchitecture: {_architecture()}\nMaintainer: a <a@example.org>\n"
            f"Filename: {name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\nDescription: x\n\n"
        )
    index = f"main/binary-{_architecture()}/Packages"
    now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    release = (
        f"Origin: Test\nLabel: Test\nSuite: {SUITE}\nCodename: {SUITE}\nDate: {now}\nArchitectures: {_architecture()}\n"
        f"Components: main\nSHA256:\n {hashlib.sha256(packages.encode()).hexdigest()} {len(packages)} {index}\n"
    )
    server.paths[f"{prefix}/dists/{SUITE}/InRelease"] = [answer(body=signer.sign(release))]
    server.paths[f"{prefix}/dists/{SUITE}/{index}"] = [answer(body=packages.encode())]
    return place


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
