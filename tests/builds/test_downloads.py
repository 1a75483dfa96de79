"""Every way in which a server can misbehave: refused or tried again, never a part of a file left."""

from __future__ import annotations

import hashlib
import io
import socket
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from repro.builds import downloads
from repro.builds.downloads import UnreachableError, download
from repro.errors import FetchError
from support import builds_server
from support.builds_server import Answer, Server


def archive(text: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as opened:
        opened.writestr(zipfile.ZipInfo("file"), text)  # without the time: every process of the tests makes the same
    return memory.getvalue()


CONTENT = archive("a file of some bytes " * 500)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing longer than the servers here need."""
    import pooch.core

    monkeypatch.setattr(downloads, "READ_S", 0.3)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)


def answer(status: int = 200, body: bytes = CONTENT, **options: Any) -> Answer:
    return builds_server.answer(status, body, **options)


def address(server: Server, scheme: str = "http") -> str:
    return server.url("/file.zip", scheme)


def left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def test_a_good_file_is_kept_and_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.answers = [answer()]
    for _ in range(2):
        assert download(address(server), "file.zip", sha256=SHA256, folder=tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert left(tmp_path) == ["file.zip"]


@pytest.mark.parametrize(
    "fault", [answer(503), answer(500), answer(429), answer(body=b""), answer(body=CONTENT[:99], length=len(CONTENT))]
)
def test_a_passing_fault_is_tried_again(server: Server, tmp_path: Path, fault: Answer) -> None:
    server.answers = [fault, fault, answer()]
    file = download(address(server), "file.zip", sha256=SHA256, folder=tmp_path)
    assert file.read_bytes() == CONTENT
    assert len(server.requests) == 3


def another(body: bytes) -> tuple[Answer, type[FetchError], str, str, int]:
    found = hashlib.sha256(body).hexdigest()
    return answer(body=body), FetchError, f"sha256 expected {SHA256}, found {found}", "Not used. Try again later", 3


PAGE, GONE = "expected a file, found a web page", "the server answers 40[34]"
LOOK, LATER = "open the address", "try again later"


@pytest.mark.parametrize(
    ("fault", "error", "words", "cure", "attempts"),
    [
        (answer(503), UnreachableError, "503 Server Error", LATER, 3),
        (answer(body=CONTENT[:99], length=len(CONTENT)), UnreachableError, "IncompleteRead", LATER, 3),
        another(archive("tampered")),
        another(CONTENT[:999]),
        another(b""),
        (answer(404), UnreachableError, GONE, LOOK, 1),
        (answer(403), UnreachableError, GONE, LOOK, 1),
        (answer(body=b"<!DOCTYPE html><html>log in</html>"), UnreachableError, PAGE, LOOK, 1),
        (answer(body=b"\n <html>moved</html>"), UnreachableError, PAGE, LOOK, 1),
        (answer(body=CONTENT, kind="text/html; charset=utf-8"), UnreachableError, PAGE, LOOK, 1),
        (answer(body=b"x" * 100_000), FetchError, "found one larger than 20,000 bytes", LOOK, 1),
    ],
)
def test_a_fault_that_may_pass_is_tried_again_and_a_refusal_names_file_found_and_cure(
    server: Server, tmp_path: Path, fault: Answer, error: type[FetchError], words: str, cure: str, attempts: int
) -> None:
    server.answers = [fault]
    with pytest.raises(FetchError, match=words) as caught:
        download(address(server), "file.zip", sha256=SHA256, folder=tmp_path, max_bytes=20_000)
    assert type(caught.value) is error
    assert "file.zip" in str(caught.value)
    assert cure in str(caught.value)
    assert len(server.requests) == attempts
    assert left(tmp_path) == []


def test_a_redirect_is_followed_but_not_in_a_circle(server: Server, tmp_path: Path) -> None:
    server.answers = [answer(302, b"", Location="/other.zip"), answer()]
    assert download(address(server), "file.zip", sha256=SHA256, folder=tmp_path).is_file()
    server.answers = [answer(302, b"", Location="/file.zip")]
    with pytest.raises(UnreachableError, match="circle"):
        download(address(server), "loop.zip", folder=tmp_path)


def test_a_redirect_to_an_unprotected_address_is_refused() -> None:
    class Response:
        ok = is_redirect = True

        def __init__(self) -> None:
            self.headers = {"location": "http://elsewhere/file.zip"}

    with pytest.raises(FetchError, match="unprotected"):
        downloads._check_headers(Response(), "https://somewhere/file.zip", "file.zip")


def test_a_stall_ends_after_the_read_timeout(server: Server, tmp_path: Path) -> None:
    server.answers = [builds_server.stalling(server, CONTENT)]
    with pytest.raises(UnreachableError, match="timed out"):
        download(address(server), "file.zip", folder=tmp_path)
    assert left(tmp_path) == []


def test_a_trickle_ends_at_the_total(server: Server, tmp_path: Path) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        answer(body=b"", length=1 << 30)(handler)
        while not server.stop.wait(0.02):
            handler.wfile.write(b"x" * 2048)

    server.answers = [trickle]
    with pytest.raises(UnreachableError, match=r"longer than 0.5 s"):
        download(address(server), "file.zip", folder=tmp_path, total_s=0.5)
    assert left(tmp_path) == []


def test_no_name_resolution_fails_at_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unresolved(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UnreachableError, match=r"host\.invalid cannot be reached"):
        download("https://host.invalid/file.zip", "file.zip", folder=tmp_path)
    assert asked == ["host.invalid"]


def test_no_answer_to_a_connection_fails_at_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def no_answer(*_: object, **__: object) -> None:
        attempts.append(1)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", no_answer)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UnreachableError, match="no connection within 5 s"):
        download("http://127.0.0.1:9/file.zip", "file.zip", folder=tmp_path)
    assert attempts == [1]


def test_offline_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with pytest.raises(UnreachableError, match="--offline"):
        download("https://host.invalid/file.zip", "file.zip", folder=tmp_path, offline=True)
    (tmp_path / "file.zip").write_bytes(CONTENT)
    assert download("https://host.invalid/f", "file.zip", sha256=SHA256, folder=tmp_path, offline=True).is_file()


def test_a_damaged_file_in_the_cache_is_downloaded_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"half")
    server.answers = [answer()]
    said: list[str] = []
    file = download(address(server), "file.zip", sha256=SHA256, folder=tmp_path, say=said.append)
    assert file.read_bytes() == CONTENT
    assert "not the file expected" in said[0]


def test_an_unpinned_file_is_trusted_on_first_use_and_a_change_refused(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    server.answers = [answer(), answer(body=archive("another release"))]
    file = download(address(server), "file.zip", folder=tmp_path, say=said.append)
    assert SHA256 in said[-1]
    assert "trusted on first use" in said[-1]
    assert downloads._trusted(tmp_path) == {"file.zip": SHA256}
    file.unlink()
    with pytest.raises(FetchError, match=f"expected {SHA256}, found") as caught:
        download(address(server), "file.zip", folder=tmp_path)
    assert "trusted.json" in str(caught.value)
    assert not file.exists()


def test_require_pinned_refuses_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    server.answers = [answer()]
    with pytest.raises(FetchError, match="--require-pinned"):
        download(address(server), "file.zip", folder=tmp_path, require_pinned=True)
    assert server.requests == []


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": 1}', "{", "\xff"])
def test_a_damaged_list_of_trusted_files_is_an_error_not_a_fresh_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "trusted.json").write_text(text, encoding="latin-1")
    with pytest.raises(FetchError, match=r"trusted\.json"):
        downloads._trusted(tmp_path)


def test_a_proxy_from_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.port}")
    server.answers = [answer()]
    download("http://host.invalid/file.zip", "file.zip", sha256=SHA256, folder=tmp_path)
    assert server.requests == ["http://host.invalid/file.zip"]


@builds_server.needs_openssl
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_from_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    certificate = builds_server.with_certificate(server, tmp_path / "ca")
    server.answers = [answer()]
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        download(address(server, "https"), "file.zip", folder=tmp_path / "c")
    monkeypatch.setenv(variable, str(certificate))
    assert download(address(server, "https"), "file.zip", sha256=SHA256, folder=tmp_path / "c").is_file()


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file in its place")
    server.answers = [answer()]
    with pytest.raises(FetchError, match="cannot be written"):
        download(address(server), "file.zip", sha256=SHA256, folder=tmp_path / "folder")


def test_half_an_archive_is_not_trusted_on_first_use(server: Server, tmp_path: Path) -> None:
    server.answers = [answer(body=CONTENT[:999]), answer()]
    file = download(address(server), "file.zip", folder=tmp_path)
    assert file.read_bytes() == CONTENT
    assert downloads._trusted(tmp_path) == {"file.zip": SHA256}
    server.answers = [answer(body=CONTENT[:999])]
    with pytest.raises(UnreachableError, match="expected a zip archive"):
        download(address(server), "other.zip", folder=tmp_path)
    assert "other.zip" not in downloads._trusted(tmp_path)


def test_offline_says_whether_the_file_is_absent_unknown_or_another(tmp_path: Path) -> None:
    def refused(sha256: str) -> str:
        with pytest.raises(UnreachableError, match="--offline forbids") as caught:
            download("https://host.invalid/f", "file.zip", sha256=sha256, folder=tmp_path, offline=True)
        return str(caught.value)

    assert "is not in" in refused(SHA256)
    (tmp_path / "file.zip").write_bytes(b"other")
    assert f"sha256 expected {SHA256}, found {hashlib.sha256(b'other').hexdigest()}" in refused(SHA256)
    assert "sha256 expected one that was trusted, found" in refused("")


def test_a_proxy_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds_server.direct(monkeypatch)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.invalid:3128")

    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(UnreachableError, match=r"host\.invalid cannot be reached through the proxy proxy\.") as caught:
        download("https://host.invalid/f", "file.zip", folder=tmp_path)
    assert "HTTPS_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_proxy_goes_around_the_proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.answers = [answer()]
    assert download(address(server), "file.zip", sha256=SHA256, folder=tmp_path).is_file()


def test_the_bundle_for_requests_comes_first(tmp_path: Path) -> None:
    for name in "rsc":
        (tmp_path / name).touch()
    r, s, c = (str(tmp_path / name) for name in "rsc")
    assert downloads.ca_bundle({"CURL_CA_BUNDLE": c, "SSL_CERT_FILE": s, "REQUESTS_CA_BUNDLE": r}) == r
    assert downloads.ca_bundle({"CURL_CA_BUNDLE": c, "SSL_CERT_FILE": ""}) == c
    assert downloads.ca_bundle({}) is None
    assert downloads.for_uv({"CURL_CA_BUNDLE": c})["SSL_CERT_FILE"] == c
    assert downloads.for_uv({"REQUESTS_CA_BUNDLE": str(tmp_path)})["SSL_CERT_DIR"] == str(tmp_path)
    with pytest.raises(FetchError, match=r"SSL_CERT_FILE names certificates that are not there: /no/where; correct"):
        downloads.ca_bundle({"SSL_CERT_FILE": "/no/where"})


def test_apt_gets_the_proxies_that_others_read() -> None:
    assert downloads.for_apt({"HTTPS_PROXY": "p", "NO_PROXY": "a,b"}) == {
        "http_proxy": "",
        "https_proxy": "p",
        "no_proxy": "a,b",
    }
    assert downloads.for_apt({"HTTP_PROXY": "P", "http_proxy": "p", "ALL_PROXY": "a"}) == {
        "http_proxy": "p",
        "https_proxy": "a",
        "no_proxy": "",
    }
    assert downloads.for_apt({"HTTPS_PROXY": "p", "NO_PROXY": "*"}) == {"http_proxy": "", "https_proxy": ""}


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b"\0" * 100,
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 999 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ),
        *(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nx", b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000),
        *(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300, b"HTTP/1.1 302 x\r\nLocation: http://[\r\n\r\n"),
        *(b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\n\r\n", b"HTTP/1.1 302 x\r\nLocation: \xff\xfe\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    ],
    ids=lambda raw: f"{len(raw)} bytes",
)
def test_any_answer_ends_in_a_clear_refusal(server: Server, tmp_path: Path, raw: bytes) -> None:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(raw)
        handler.close_connection = True

    server.answers = [send]
    with pytest.raises(FetchError, match=r"file\.zip: "):
        download(address(server), "file.zip", sha256=SHA256, folder=tmp_path)
    assert left(tmp_path) == []
