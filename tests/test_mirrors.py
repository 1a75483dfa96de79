"""uv and apt against servers on loopback that misbehave: what is refused, in which words, and what is left."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import badserver
import debrepo
import nowrites
import parts
import privatevenv
from badserver import Answer, Server, answer
from repro import layout
from repro.builds import apt, executables, network, transfer, wheels
from repro.builds.apt import Apt, Record
from repro.errors import FetchError
from repro.model import Pair
from repro.plan import images

DEVICES = Path("/dev")
PAGE = b"<!doctype html><html>log in</html>"
Fault = Callable[[Server, bytes, str], list[Answer]]


def faults(tampered: bytes) -> dict[str, Fault]:
    """Name -> the answers for a file of this content, at this path of the server."""
    return {
        "tampered": lambda _, good, __: [answer(body=tampered)],
        "truncated": lambda _, good, __: [answer(body=good[:200], length=len(good))],
        "of another size": lambda _, good, __: [answer(body=good[:200])],
        "empty": lambda _, good, __: [answer(body=b"")],
        "a web page": lambda _, good, __: [answer(body=PAGE, kind="text/html")],
        "not there": lambda _, good, __: [answer(404)],
        "redirects": lambda _, good, path: [answer(302, Location=path)],
        "out of order": lambda _, good, __: [answer(503)],
        "stalls": lambda server, good, __: [badserver.stalling(server, good)],
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    badserver.direct(monkeypatch)
    with badserver.serving() as one:
        yield one


# The wheels, by uv.

WHEEL = "itk_elastix-0.25.4-py3-none-any.whl"


def wheel(text: str = "version = 1\n") -> bytes:
    about = "itk_elastix-0.25.4.dist-info"
    files = {
        "itk_elastix.py": text,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: itk-elastix\nVersion: 0.25.4\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": f"itk_elastix.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
    }
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


GOOD = wheel()


def publish(server: Server, answers: list[Answer]) -> None:
    page = f'<html><a href="/files/{WHEEL}">{WHEEL}</a></html>'.encode()
    server.paths["/simple/itk-elastix/"] = [answer(body=page, kind="text/html")]
    server.paths[f"/files/{WHEEL}"] = answers


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A pair whose lock names one small wheel, and a uv that knows nothing but what the test tells it."""
    monkeypatch.setattr(layout, "WHEEL_LOCKS", tmp_path)
    for name in ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIXI_PROJECT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "CACHE_DIR": str(tmp_path / "uv"),
        "HTTP_RETRIES": "0",
        "NO_CONFIG": "1",
        "HTTP_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(f"UV_{name}", value)
    one = parts.pair()
    lock = f"itk-elastix==0.25.4 \\\n    --hash=sha256:{hashlib.sha256(GOOD).hexdigest()}\n"
    wheels.lock_file(one).write_text(lock)
    return one


def installed(target: Path) -> bool:
    return (target / "itk_elastix.py").exists()


WORDS = {
    "tampered": rf"Hash mismatch for `itk-elastix==0\.25\.4`(.|\n)*{hashlib.sha256(GOOD).hexdigest()}(.|\n)*Computed",
    "stalls": "network timeout",
    "out of order": r"503 Service Unavailable",
    "not there": r"404 Not Found",
}


@pytest.mark.parametrize("name", faults(b""))
def test_a_wheel_that_does_not_come_as_locked_is_not_used(
    server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    publish(server, faults(wheel("raise SystemExit('executed')\n"))[name](server, GOOD, f"/files/{WHEEL}"))
    with pytest.raises(FetchError, match=WORDS.get(name, "itk[-_]elastix")) as caught:
        wheels.install(pair, tmp_path / "target")
    for words in (pair.name, "nothing of them is used", "fetch again", "UV_DEFAULT_INDEX"):
        assert words in str(caught.value)
    assert not installed(tmp_path / "target")
    # What uv keeps of it does not stand in the way, and is not taken for the wheel.
    publish(server, [answer(body=GOOD)])
    wheels.install(pair, tmp_path / "target")
    assert installed(tmp_path / "target")


def test_a_busy_index_is_asked_again(
    server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "1")
    publish(server, [answer(503), answer(body=GOOD)])
    wheels.install(pair, tmp_path / "target")
    assert installed(tmp_path / "target")


def test_another_index_may_not_send_another_wheel(
    server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, [answer(body=GOOD)])
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    wheels.install(pair, tmp_path / "first")
    with badserver.serving() as other:
        publish(other, [answer(body=wheel("other = 1\n"))])
        monkeypatch.setenv("UV_DEFAULT_INDEX", other.url("/simple"))
        with pytest.raises(FetchError, match="Hash mismatch"):
            wheels.install(pair, tmp_path / "second")
        assert not installed(tmp_path / "second")


def test_uv_goes_through_the_proxy(server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = f'<html><a href="http://index.invalid/files/{WHEEL}">{WHEEL}</a></html>'.encode()
    server.paths["http://index.invalid/simple/itk-elastix/"] = [answer(body=page, kind="text/html")]
    server.paths[f"http://index.invalid/files/{WHEEL}"] = [answer(body=GOOD)]
    monkeypatch.setenv("HTTP_PROXY", server.url())
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://index.invalid/simple")
    wheels.install(pair, tmp_path / "target")
    assert installed(tmp_path / "target")


@badserver.needs_openssl
@pytest.mark.parametrize("variable", network.BUNDLES)
def test_uv_trusts_the_certificates_of_the_environment(
    server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    certificate = badserver.with_certificate(server, tmp_path / "ca")
    publish(server, [answer(body=GOOD)])
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple", "https"))
    with pytest.raises(FetchError, match="certificate"):
        wheels.install(pair, tmp_path / "target")
    monkeypatch.setenv(variable, str(certificate))
    wheels.install(pair, tmp_path / "target")
    assert installed(tmp_path / "target")


@nowrites.needs_landlock
def test_uv_writes_into_its_cache_and_the_pair_alone(
    server: Server, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    publish(server, [answer(body=GOOD)])
    (tmp_path / "uv").mkdir()
    (tmp_path / "pairs").mkdir()
    with pytest.raises(FetchError, match="Permission denied"):
        nowrites.within([tmp_path / "pairs", DEVICES], lambda: wheels.install(pair, tmp_path / "pairs" / "x"))
    allowed = [tmp_path / "uv", tmp_path / "pairs", DEVICES]
    nowrites.within(allowed, lambda: wheels.install(pair, tmp_path / "pairs" / "x"))
    assert installed(tmp_path / "pairs" / "x")


# uv itself, by the pip of the system's Python.

pip = [str(getattr(sys, "_base_executable", sys.executable)), "-m", "pip"]
needs_pip = pytest.mark.skipif(
    bool(subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode), reason="needs pip"
)


def get_by_pip(folder: Path, index: str) -> Path:
    options = ["--no-deps", f"--dest={folder}", f"--index-url={index}", "--trusted-host=index.invalid", "--retries=0"]
    privatevenv._run([*pip, "download", *options, "itk-elastix==0.25.4"], "download")
    return folder / WHEEL


@needs_pip
def test_pip_goes_through_the_proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = f'<html><a href="http://index.invalid/files/{WHEEL}">{WHEEL}</a></html>'.encode()
    server.paths["http://index.invalid/simple/itk-elastix/"] = [answer(body=page, kind="text/html")]
    server.paths[f"http://index.invalid/files/{WHEEL}"] = [answer(body=GOOD)]
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HTTP_PROXY", server.url())
    assert get_by_pip(tmp_path, "http://index.invalid/simple").read_bytes() == GOOD


@badserver.needs_openssl
@needs_pip
@pytest.mark.parametrize("variable", network.BUNDLES)
def test_pip_trusts_the_certificates_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_CERT", raising=False)
    certificate = badserver.with_certificate(server, tmp_path / "ca")
    publish(server, [answer(body=GOOD)])
    with pytest.raises(privatevenv.VenvError, match="certificate"):
        get_by_pip(tmp_path, server.url("/simple", "https"))
    monkeypatch.setenv(variable, str(certificate))
    assert get_by_pip(tmp_path, server.url("/simple", "https")).read_bytes() == GOOD


# The packages of Debian, by apt.


class Archive:
    """A signed archive on the server, and apt with a private root that knows it alone."""

    def __init__(self, server: Server, folder: Path, signer: debrepo.Signer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.folder, self.signer = server, folder, signer
        self.good = debrepo.deb(folder, "5.3.1-1", "echo good")
        self.tampered = debrepo.deb(folder, "5.3.1-1", "echo evil")
        self.place = debrepo.publish(server, signer, {"5.3.1-1": self.good})
        self.mirror = server.url("/debian")
        monkeypatch.setattr(apt, "KEYRINGS", (str(signer.keyring),))
        monkeypatch.setattr(apt, "_machine_sources", lambda: {"a.list": f"deb {self.mirror} sid main"})
        monkeypatch.setattr(apt, "_CARRIED", re.compile(r"(?!)"))
        monkeypatch.setattr(transfer, "CONNECT_S", 1)
        monkeypatch.setattr(apt, "RETRIES", 0)
        monkeypatch.setattr(apt, "PAUSE_S", 0.01)

    def packages(self, *, offline: bool = False) -> list[Path]:
        one = Apt.prepare(debrepo.SUITE, self.folder / "root")
        if not offline:
            one.update()
        records: dict[str, Record] = one.records(["elastix"])
        return one.packages(records.values(), offline)

    def left(self) -> list[str]:
        return sorted(one.name for one in (self.folder / "root" / "packages").iterdir())


@pytest.fixture
def signer() -> Iterator[debrepo.Signer]:
    with tempfile.TemporaryDirectory(prefix="gpg") as folder:
        one = debrepo.Signer(Path(folder) / "g")
        yield one
        one.close()


@pytest.fixture
def archive(server: Server, tmp_path: Path, signer: debrepo.Signer, monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(server, tmp_path, signer, monkeypatch)


@debrepo.needs_apt
@pytest.mark.parametrize("name", faults(b""))
def test_a_package_that_does_not_come_as_signed_is_not_used(archive: Archive, name: str) -> None:
    archive.server.paths[archive.place] = faults(archive.tampered)[name](archive.server, archive.good, archive.place)
    with pytest.raises(FetchError, match=r"elastix_5\.3\.1-1_.*use another mirror") as caught:
        archive.packages()
    if name == "tampered" and len(archive.tampered) == len(archive.good):
        for content in (archive.good, archive.tampered):
            assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert archive.left() == []
    archive.server.paths[archive.place] = [answer(body=archive.good)]
    (file,) = archive.packages()
    assert file.read_bytes() == archive.good


@debrepo.needs_apt
@nowrites.needs_landlock
def test_apt_writes_below_its_root_alone(archive: Archive) -> None:
    root = archive.folder / "root"
    root.mkdir()
    (file,) = nowrites.within([root, DEVICES], archive.packages)
    assert file.read_bytes() == archive.good


@debrepo.needs_apt
def test_a_busy_mirror_is_asked_again(archive: Archive) -> None:
    archive.server.paths[archive.place] = [answer(503), answer(body=archive.good)]
    assert archive.packages()[0].read_bytes() == archive.good


@debrepo.needs_apt
def test_an_index_that_debian_did_not_sign_is_refused(archive: Archive) -> None:
    place = f"/debian/dists/{debrepo.SUITE}/InRelease"
    index = archive.server.paths[place]
    for fault in ([answer(404)], [answer(body=PAGE)], [answer(body=b"Suite: sid\n")]):
        archive.server.paths[place] = fault
        with pytest.raises(FetchError, match=r"not signed|Clearsigned|use another mirror"):
            archive.packages()
    with tempfile.TemporaryDirectory(prefix="gpg") as folder:
        other = debrepo.Signer(Path(folder) / "g")
        debrepo.publish(archive.server, other, {"5.3.1-1": archive.tampered})
        other.close()
    with pytest.raises(FetchError, match="is not signed"):
        archive.packages()
    assert archive.left() == []
    assert index


@debrepo.needs_apt
def test_another_mirror_gives_its_own_packages_and_nothing_is_mixed(archive: Archive) -> None:
    archive.packages()
    with badserver.serving() as other:
        debrepo.publish(other, archive.signer, {"5.3.1-1": archive.tampered})  # the same name, signed all the same
        archive.mirror = other.url("/debian")
        assert archive.packages()[0].read_bytes() == archive.tampered
    archive.mirror = archive.server.url("/debian")
    assert archive.packages()[0].read_bytes() == archive.good
    assert archive.packages(offline=True)[0].read_bytes() == archive.good


@debrepo.needs_apt
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_apt_goes_through_the_proxy(archive: Archive, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for path, answers in list(archive.server.paths.items()):
        archive.server.paths[f"http://mirror.invalid{path}"] = answers
    archive.mirror = "http://mirror.invalid/debian"
    monkeypatch.setenv(variable, archive.server.url())
    assert archive.packages()[0].read_bytes() == archive.good
    assert all(request.startswith("http://mirror.invalid/") for request in archive.server.requests)


@debrepo.needs_apt
@badserver.needs_openssl
def test_apt_trusts_the_certificates_of_the_environment(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = badserver.with_certificate(archive.server, tmp_path / "ca")
    archive.mirror = archive.server.url("/debian", "https")
    with pytest.raises(FetchError, match="ertificate"):
        archive.packages()
    for variable in network.BUNDLES:
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(certificate))
            assert archive.packages()[0].read_bytes() == archive.good


# The executables of a release and the images, by requests.


def release(marker: Path) -> bytes:
    """A release whose program leaves a mark when it runs."""
    text = f"#!{sys.executable} -IS\nopen({str(marker)!r}, 'w')\nprint('elastix version: 5.3.1')\n"
    return parts.release(marker.with_name("release.zip"), text).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="scripts stand for executables here")
@pytest.mark.parametrize("pinned", [True, False])
def test_nothing_of_a_release_runs_before_it_is_verified(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    good, evil = release(tmp_path / "good"), release(tmp_path / "evil")
    monkeypatch.setattr(executables, "RELEASES", server.url())
    executable = parts.pair(sha256=hashlib.sha256(good).hexdigest() if pinned else "").executable
    assert executable is not None
    said: list[str] = []

    def provide(folder: str) -> executables.Provided:
        request = executables.Request(executable, "linux-64", tmp_path / folder, tmp_path / "cache", say=said.append)
        return executables.provide(request, "release")

    server.answers = [answer(body=good)]
    provide("first")
    assert (tmp_path / "good").exists()  # it was asked for its version
    assert pinned or f"trusted on first use and kept: sha256 {hashlib.sha256(good).hexdigest()}" in said[-1]
    (tmp_path / "cache" / "releases" / "elastix-5.3.1.zip").unlink()
    server.answers = [answer(body=evil)]
    with pytest.raises(
        FetchError, match=rf"elastix-5\.3\.1\.zip: .*sha256 expected {hashlib.sha256(good).hexdigest()}"
    ):
        provide("second")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "second").exists()


IMAGES = {"fixed": b"II*\0 fixed" * 200, "moving": b"II*\0 moving" * 200}


@pytest.fixture
def image_list(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data/images.toml whose posted images are on the server, and whose own lie beside it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(badserver.with_certificate(server, tmp_path / "ca")))
    monkeypatch.delenv(images.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(images, "LIMITS", transfer.Limits(read_s=0.3, attempts=2, pause_s=0.01))
    lines = ["[posted]", 'fallback = "own"']
    for name, content in IMAGES.items():
        server.paths[f"/{name}.tif"] = [answer(body=content, kind="image/tiff")]
        sha256 = hashlib.sha256(content).hexdigest()
        (tmp_path / f"{name}.tif").write_bytes(content)
        url = server.url(f"/{name}.tif", "https")
        lines += [f"[posted.{name}]", f'name = "{name}.tif"', f'url = "{url}"', f'sha256 = "{sha256}"']
        lines += [f"[own.{name}]", f'name = "{name}.tif"', f'path = "{name}.tif"', f'sha256 = "{sha256}"']
    (tmp_path / "images.toml").write_text("\n".join(lines))
    return tmp_path / "images.toml"


@badserver.needs_openssl
@pytest.mark.parametrize("name", [None, *faults(b"")])
def test_an_image_is_the_posted_one_or_another_is_used_loudly(
    server: Server, image_list: Path, name: str | None
) -> None:
    good, path, cache = IMAGES["moving"], "/moving.tif", image_list.parent / "cache"
    if name:
        server.paths[path] = faults(b"II*\0 evil")[name](server, good, path)
    if name in ("tampered", "of another size"):
        with pytest.raises(
            FetchError, match=rf"moving\.tif: .*sha256 expected {hashlib.sha256(good).hexdigest()}, found"
        ):
            images.image_set("posted", file=image_list, cache=cache)
    else:
        found = images.image_set("posted", file=image_list, cache=cache)
        assert found.name == ("own" if name else "posted")
        assert not name or f"images 'own' in place of 'posted': moving.tif: {server.url(path, 'https')}" in found.note
    assert (cache / "images" / "moving.tif").exists() == (name is None)
