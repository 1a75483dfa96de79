"""A server of images that misbehaves: the posted image, another one loudly, or a refusal; never half a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro.builds import downloads
from repro.errors import FetchError
from repro.plan import images
from support import builds_server
from support.builds_server import Answer, Server, answer

CONTENTS = {"fixed": b"II*\0 fixed" * 200, "moving": b"II*\0 moving" * 200}
GOOD = CONTENTS["moving"]
PATH = "/moving.tif"

UNREACHABLE: dict[str, Callable[[Server], list[Answer]]] = {
    "a web page": lambda server: [answer(body=b"<!DOCTYPE html><html>", kind="text/html")],
    "a web page that says it is an image": lambda server: [answer(body=b"<html>sign in", kind="image/tiff")],
    "redirects in a circle": lambda server: [answer(302, Location=server.url(PATH, "https"))],
    "cut short": lambda server: [answer(body=GOOD[:100], length=len(GOOD))],
    "stalls": lambda server: [builds_server.stalling(server, GOOD)],
    "not found": lambda server: [answer(404)],
    "busy for good": lambda server: [answer(503)],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    import pooch.core

    builds_server.direct(monkeypatch)
    monkeypatch.delenv(images.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(downloads, "READ_S", 0.3)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    with builds_server.serving() as one:
        yield one


@pytest.fixture
def file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data/images.toml whose posted images are on the server, and whose own lie beside it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(builds_server.with_certificate(server, tmp_path / "ca")))
    head = 'about = "x"\nsource = "y"\nsize_px = [3, 2]'
    posted, own = f'[posted]\n{head}\nfallback = "own"\n', f"[own]\n{head}\n"
    for name, content in CONTENTS.items():
        server.paths[f"/{name}.tif"] = [answer(body=content, kind="image/tiff")]
        (tmp_path / f"{name}.tif").write_bytes(content)
        known = f'name = "{name}.tif"\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        posted += f'[posted.{name}]\n{known}url = "{server.url(f"/{name}.tif", "https")}"\n'
        own += f'[own.{name}]\n{known}path = "{name}.tif"\n'
    (tmp_path / "images.toml").write_text(posted + own, encoding="utf-8")
    return tmp_path / "images.toml"


def provide(file: Path) -> images.ImageSet:
    return images.provide("posted", file=file, cache=file.parent / "cache")


def kept(file: Path) -> list[str]:
    return sorted(one.name for one in (file.parent / "cache" / "images").iterdir())


@builds_server.needs_openssl
def test_a_busy_server_is_asked_again(server: Server, file: Path) -> None:
    server.paths[PATH] = [answer(503), answer(body=GOOD, kind="image/tiff")]
    found = provide(file)
    assert (found.name, found.moving.read_bytes()) == ("posted", GOOD)
    assert kept(file) == ["fixed.tif", "moving.tif"]


@builds_server.needs_openssl
@pytest.mark.parametrize("fault", UNREACHABLE)
def test_an_image_that_does_not_come_gives_way_to_another_loudly(server: Server, file: Path, fault: str) -> None:
    server.paths[PATH] = UNREACHABLE[fault](server)
    said: list[str] = []
    found = images.provide("posted", file=file, cache=file.parent / "cache", say=said.append)
    assert found.name == "own"
    assert [line for line in said if f"moving.tif: {server.url(PATH, 'https')}" in line]
    assert kept(file) == ["fixed.tif"]
    server.paths[PATH] = [answer(body=GOOD, kind="image/tiff")]
    assert provide(file).name == "posted", "the next good answer is used"


@builds_server.needs_openssl
@pytest.mark.parametrize("content", [b"II*\0 evil!!" * 200, b"II*\0 short"])
def test_another_image_is_refused_and_not_replaced(server: Server, file: Path, content: bytes) -> None:
    server.paths[PATH] = [answer(body=content, kind="image/tiff")]
    with pytest.raises(FetchError, match=rf"moving\.tif: .*sha256 expected {hashlib.sha256(GOOD).hexdigest()}, found"):
        provide(file)
    assert kept(file) == ["fixed.tif"]
