"""uv and apt against servers on loopback that misbehave: what is refused, in which words, and what is left."""

from __future__ import annotations

import hashlib
import io
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro.builds import debian, downloads, wheels
from repro.builds.debian import Apt, Record
from repro.errors import FetchError
from support import builds_debrepo as debrepo
from support import builds_server, nowrites
from support.builds_server import Answer, Server, answer

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
        "stalls": lambda server, good, __: [builds_server.stalling(server, good)],
    }


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
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock that names one small wheel, and a uv that knows nothing but what the test tells it."""
    for name in ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "CACHE_DIR": str(tmp_path / "uv"),
        "HTTP_RETRIES": "0",
        "NO_CONFIG": "1",
        "HTTP_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(f"UV_{name}", value)
    file = tmp_path / "lock.txt"
    text = f"itk-elastix==0.25.4 \\\n    --hash=sha256:{hashlib.sha256(GOOD).hexdigest()}\n"
    file.write_text(text, encoding="utf-8")
    return file


def install(lock: Path, target: Path) -> None:
    wheels.install("api:0.25.4", lock, target, Path(sys.executable), offline=False, say=print)


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
    server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    publish(server, faults(wheel("raise SystemExit('executed')\n"))[name](server, GOOD, f"/files/{WHEEL}"))
    with pytest.raises(FetchError, match=WORDS.get(name, "itk[-_]elastix")) as caught:
        install(lock, tmp_path / "target")
    for words in ("api:0.25.4", "could not be installed", "fetch again", "UV_DEFAULT_INDEX"):
        assert words in str(caught.value)
    assert not installed(tmp_path / "target")
    # What uv keeps of it does not stand in the way, and is not taken for the wheel.
    publish(server, [answer(body=GOOD)])
    install(lock, tmp_path / "target")
    assert installed(tmp_path / "target")


def test_a_busy_index_is_asked_again(
    server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "1")
    publish(server, [answer(503), answer(body=GOOD)])
    install(lock, tmp_path / "target")
    assert installed(tmp_path / "target")


def test_another_index_may_not_send_another_wheel(
    server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, [answer(body=GOOD)])
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    install(lock, tmp_path / "first")
    with builds_server.serving() as other:
        publish(other, [answer(body=wheel("other = 1\n"))])
        monkeypatch.setenv("UV_DEFAULT_INDEX", other.url("/simple"))
        with pytest.raises(FetchError, match="Hash mismatch"):
            install(lock, tmp_path / "second")
        assert not installed(tmp_path / "second")


def test_uv_goes_through_the_proxy(server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = f'<html><a href="http://index.invalid/files/{WHEEL}">{WHEEL}</a></html>'.encode()
    server.paths["http://index.invalid/simple/itk-elastix/"] = [answer(body=page, kind="text/html")]
    server.paths[f"http://index.invalid/files/{WHEEL}"] = [answer(body=GOOD)]
    monkeypatch.setenv("HTTP_PROXY", server.url())
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://index.invalid/simple")
    install(lock, tmp_path / "target")
    assert installed(tmp_path / "target")


@builds_server.needs_openssl
def test_uv_trusts_the_certificates_of_the_environment(
    server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = builds_server.with_certificate(server, tmp_path / "ca")
    publish(server, [answer(body=GOOD)])
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple", "https"))
    with pytest.raises(FetchError, match="certificate"):
        install(lock, tmp_path / "target")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
    install(lock, tmp_path / "target")
    assert installed(tmp_path / "target")


@nowrites.needs_landlock
def test_uv_writes_into_its_cache_and_the_pair_alone(
    server: Server, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url("/simple"))
    publish(server, [answer(body=GOOD)])
    (tmp_path / "uv").mkdir()
    (tmp_path / "builds").mkdir()
    with pytest.raises(FetchError, match="Permission denied"):
        nowrites.within([tmp_path / "builds", DEVICES], lambda: install(lock, tmp_path / "builds" / "x"))
    allowed = [tmp_path / "uv", tmp_path / "builds", DEVICES]
    nowrites.within(allowed, lambda: install(lock, tmp_path / "builds" / "x"))
    assert installed(tmp_path / "builds" / "x")


# The packages of Debian, by apt.


class Archive:
    """A signed archive on the server, and apt with a private root that knows it alone."""

    def __init__(self, server: Server, folder: Path, signer: debrepo.Signer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.folder, self.signer = server, folder, signer
        self.good = debrepo.deb(folder, "5.3.1-1", "echo good")
        self.tampered = debrepo.deb(folder, "5.3.1-1", "echo evil")
        self.place = debrepo.publish(server, signer, {"5.3.1-1": self.good})
        self.mirror = server.url("/debian")
        monkeypatch.setattr(debian, "KEYRINGS", (str(signer.keyring),))
        monkeypatch.setattr(debian, "_machine_uris", lambda: [self.mirror])
        monkeypatch.setattr(debian, "_CARRIED", re.compile(r"(?!)"))
        monkeypatch.setattr(downloads, "CONNECT_S", 1)
        monkeypatch.setattr(debian, "RETRIES", 0)
        monkeypatch.setattr(debian, "PAUSE_S", 0.01)

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


@debrepo.needs_apt
def test_another_mirror_gives_its_own_packages_and_nothing_is_mixed(archive: Archive) -> None:
    archive.packages()
    with builds_server.serving() as other:
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
@builds_server.needs_openssl
def test_apt_trusts_the_certificates_of_the_environment(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = builds_server.with_certificate(archive.server, tmp_path / "ca")
    archive.mirror = archive.server.url("/debian", "https")
    with pytest.raises(FetchError, match="ertificate"):
        archive.packages()
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
    assert archive.packages()[0].read_bytes() == archive.good
