"""A server on loopback that misbehaves as told, a proxy, and certificates of our own."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]
PROXIES = [f"{name}_proxy" for name in ("http", "https", "all", "no")]
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


class Server:
    """Answers the n-th request for a path with its n-th answer, later ones with its last.

    All other paths share ``answers`` in the same way; without any they are answered 404.
    """

    def __init__(self) -> None:
        self.paths: dict[str, list[Answer]] = {}
        self.answers: list[Answer] = []
        self.requests: list[str] = []
        self.stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                own = outer.paths.get(self.path)
                before = outer.requests.count(self.path) if own else len(outer.requests)
                outer.requests.append(self.path)
                answers = own or outer.answers or [answer(404)]
                answers[min(before, len(answers) - 1)](self)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that goes away is what the tests are about."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def answer(
    status: int = 200, body: bytes = b"", length: int | None = None, kind: str = "application/zip", **headers: str
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


def stalling(server: Server, body: bytes) -> Answer:
    """Half of the body, and then nothing for as long as the server lives."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        answer(body=body[: len(body) // 2], length=len(body))(handler)
        handler.wfile.flush()
        server.stop.wait(60)

    return send


def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy of this machine stand between, and no certificates of its own."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def with_certificate(server: Server, folder: Path) -> Path:
    """Let the server speak TLS; the certificate of the authority that signed it."""
    folder.mkdir(exist_ok=True)
    authority, key, certificate = (folder / name for name in ("authority.pem", "key.pem", "certificate.pem"))
    (folder / "names").write_text("basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    new = ("req", "-newkey", "rsa:2048", "-nodes")

    def openssl(*command: str | Path) -> None:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)

    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # without it Python since 3.13 trusts no authority
    openssl(*new, "-x509", "-subj", "/CN=test authority", *usage, "-keyout", "authority.key", "-out", authority)
    openssl(*new, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", "request")
    signed = ("x509", "-req", "-in", "request", "-CA", authority, "-CAkey", "authority.key", "-CAcreateserial")
    openssl(*signed, "-days", "2", "-extfile", "names", "-out", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    return authority
