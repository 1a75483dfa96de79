"""Every way in which a server can misbehave: refused or tried again, never a part of a file left."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from repro import downloads
from repro.downloads import Limits, UnreachableError, download
from repro.errors import FetchError

CONTENT = b"PK a file of some bytes" * 500
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(connect_s=2, read_s=0.3, total_s=20, attempts=3, pause_s=0.01)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers the n-th request with the n-th answer, and the rest with the last."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[str] = []
        self.stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.answers[min(len(outer.requests), len(outer.answers)) - 1](self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/file.zip"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one = Server()
    yield one
    one.stop.set()
    one.http.shutdown()
    one.http.server_close()


def answer(
    status: int = 200, body: bytes = CONTENT, length: int | None = None, kind: str = "application/zip", **headers: str
) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def test_a_good_file_is_kept_and_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.answers = [answer()]
    for _ in range(2):
        assert download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1
    assert left(tmp_path) == ["file.zip"]


@pytest.mark.parametrize(
    "fault", [answer(503), answer(500), answer(429), answer(body=b""), answer(body=CONTENT[:99], length=len(CONTENT))]
)
def test_a_passing_fault_is_tried_again(server: Server, tmp_path: Path, fault: Answer) -> None:
    said: list[str] = []
    server.answers = [fault, fault, answer()]
    file = download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path, limits=QUICK, say=said.append)
    assert file.read_bytes() == CONTENT
    assert len(server.requests) == 3
    assert "trying again" in said[0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answer(503), "answers 503"),
        (answer(body=b""), "empty file"),
        (answer(body=CONTENT[:99], length=len(CONTENT)), "IncompleteRead"),
    ],
)
def test_a_lasting_fault_is_given_up(server: Server, tmp_path: Path, fault: Answer, words: str) -> None:
    server.answers = [fault]
    with pytest.raises(UnreachableError, match=words):
        download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path, limits=QUICK)
    assert len(server.requests) == QUICK.attempts
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answer(404), "answers 404"),
        (answer(403), "answers 403"),
        (answer(body=b"<!DOCTYPE html><html>log in</html>"), "web page"),
        (answer(body=b"\n <html>moved</html>"), "web page"),
        (answer(body=CONTENT, kind="text/html; charset=utf-8"), "web page"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(server: Server, tmp_path: Path, fault: Answer, words: str) -> None:
    server.answers = [fault]
    with pytest.raises(UnreachableError, match=words) as caught:
        download(server.url(), "file.zip", folder=tmp_path, limits=QUICK)
    assert "file.zip" in str(caught.value)
    assert len(server.requests) == 1
    assert left(tmp_path) == []


def test_another_checksum_is_refused_with_both_and_a_cure(server: Server, tmp_path: Path) -> None:
    server.answers = [answer(body=b"tampered")]
    with pytest.raises(FetchError) as caught:
        download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path, limits=QUICK)
    assert not isinstance(caught.value, UnreachableError)
    for word in ("file.zip", SHA256, hashlib.sha256(b"tampered").hexdigest(), "Not used"):
        assert word in str(caught.value)
    assert left(tmp_path) == []


def test_a_redirect_is_followed_but_not_in_a_circle(server: Server, tmp_path: Path) -> None:
    server.answers = [answer(302, b"", Location="/other.zip"), answer()]
    assert download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path).is_file()
    server.answers = [answer(302, b"", Location="/file.zip")]
    with pytest.raises(UnreachableError, match="circle"):
        download(server.url(), "loop.zip", folder=tmp_path, limits=QUICK)


def test_a_redirect_to_an_unprotected_address_is_refused() -> None:
    class Response:
        ok = is_redirect = True

        def __init__(self) -> None:
            self.headers = {"location": "http://elsewhere/file.zip"}

    with pytest.raises(FetchError, match="unprotected"):
        downloads._check_headers(Response(), "https://somewhere/file.zip", "file.zip")


def test_a_stall_ends_after_the_read_timeout(server: Server, tmp_path: Path) -> None:
    def stall(handler: BaseHTTPRequestHandler) -> None:
        answer(body=CONTENT[:99], length=len(CONTENT))(handler)
        handler.wfile.flush()
        server.stop.wait(60)

    server.answers = [stall]
    with pytest.raises(UnreachableError, match="timed out"):
        download(server.url(), "file.zip", folder=tmp_path, limits=QUICK)
    assert left(tmp_path) == []


def test_a_trickle_ends_at_the_total(server: Server, tmp_path: Path) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        answer(body=b"", length=1 << 30)(handler)
        while not server.stop.wait(0.02):
            handler.wfile.write(b"x" * 2048)

    server.answers = [trickle]
    limits = Limits(read_s=2, total_s=0.5, pause_s=0.01)
    with pytest.raises(UnreachableError, match=r"longer than 0.5 s"):
        download(server.url(), "file.zip", folder=tmp_path, limits=limits)
    assert left(tmp_path) == []


def test_a_file_that_is_too_large_is_stopped(server: Server, tmp_path: Path) -> None:
    server.answers = [answer(body=b"x" * 100_000)]
    with pytest.raises(FetchError, match="larger than 5,000 bytes"):
        download(server.url(), "file.zip", folder=tmp_path, limits=Limits(max_bytes=5_000))
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
        download("https://host.invalid/file.zip", "file.zip", folder=tmp_path, limits=Limits(pause_s=60))
    assert asked == ["host.invalid"]


def test_no_answer_to_a_connection_fails_at_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def no_answer(*_: object, **__: object) -> None:
        attempts.append(1)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", no_answer)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UnreachableError, match="no connection within 5 s"):
        download("http://127.0.0.1:9/file.zip", "file.zip", folder=tmp_path, limits=Limits(pause_s=60))
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
    file = download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path, say=said.append)
    assert file.read_bytes() == CONTENT
    assert "not the file expected" in said[0]


def test_an_unpinned_file_is_trusted_on_first_use_and_a_change_refused(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    server.answers = [answer(), answer(body=b"another release")]
    file = download(server.url(), "file.zip", folder=tmp_path, say=said.append)
    assert SHA256 in said[-1]
    assert "trusted on first use" in said[-1]
    assert downloads.trusted("file.zip", tmp_path) == SHA256
    file.unlink()
    with pytest.raises(FetchError, match=f"expected {SHA256}, found") as caught:
        download(server.url(), "file.zip", folder=tmp_path, limits=QUICK)
    assert "trusted.json" in str(caught.value)
    assert not file.exists()


def test_require_pinned_refuses_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    server.answers = [answer()]
    with pytest.raises(FetchError, match="--require-pinned"):
        download(server.url(), "file.zip", folder=tmp_path, require_pinned=True)
    assert server.requests == []


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": 1}', "{", "\xff"])
def test_a_damaged_list_of_trusted_files_is_an_error_not_a_fresh_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "trusted.json").write_text(text, encoding="latin-1")
    with pytest.raises(FetchError, match=r"trusted\.json"):
        downloads.trusted("file.zip", tmp_path)


def test_a_proxy_from_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable)
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.port}")
    server.answers = [answer()]
    download("http://host.invalid/file.zip", "file.zip", sha256=SHA256, folder=tmp_path)
    assert server.requests == ["http://host.invalid/file.zip"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_from_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.answers = [answer()]
    for one in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(one, raising=False)
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        download(server.url("https"), "file.zip", folder=tmp_path / "c", limits=QUICK)
    monkeypatch.setenv(variable, str(certificate))
    assert download(server.url("https"), "file.zip", sha256=SHA256, folder=tmp_path / "c", limits=QUICK).is_file()


def test_the_bundle_for_requests_comes_first() -> None:
    assert downloads.ca_bundle({"CURL_CA_BUNDLE": "c", "SSL_CERT_FILE": "s", "REQUESTS_CA_BUNDLE": "r"}) == "r"
    assert downloads.ca_bundle({"CURL_CA_BUNDLE": "c", "SSL_CERT_FILE": ""}) == "c"
    assert downloads.ca_bundle({}) is None


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file in its place")
    server.answers = [answer()]
    with pytest.raises(FetchError, match="cannot be written"):
        download(server.url(), "file.zip", sha256=SHA256, folder=tmp_path / "folder", limits=QUICK)


def test_writing_replaces_whole_files(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state.json"
    for content in ("old", "new"):
        downloads.write_atomically(file, json.dumps(content))
    assert json.loads(file.read_text()) == "new"
    assert left(file.parent) == ["state.json"]
