"""Image sets: verified wherever they come from, and replaced loudly where they cannot be had."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from repro import layout
from repro.builds import transfer
from repro.builds.config import read_toml
from repro.builds.downloads import UnreachableError
from repro.errors import ConfigError, FetchError
from repro.plan.images import ImageSet, image_set, size_px

POSTED = {"fixed": b"posted fixed", "moving": b"posted moving"}
OWN = {"fixed": b"own fixed", "moving": b"own moving"}


class Checkout:
    """Two image sets: one to be downloaded, one committed."""

    def __init__(self, folder: Path) -> None:
        self.file, self.cache = folder / "data" / "images.toml", folder / "cache"
        (folder / "data" / "synthetic").mkdir(parents=True)
        lines = []
        for name, content in POSTED.items():
            lines += [f"[posted.{name}]", f'name = "{name}.tif"', f'url = "https://host.invalid/{name}.tif"']
            lines += [f'sha256 = "{sha256(content)}"']
        for name, content in OWN.items():
            (folder / "data" / "synthetic" / f"{name}.tif").write_bytes(content)
            lines += [f"[synthetic.{name}]", f'name = "{name}.tif"', f'path = "synthetic/{name}.tif"']
            lines += [f'sha256 = "{sha256(content)}"']
        self.file.write_text('[posted]\nabout = "x"\nfallback = "synthetic"\n' + "\n".join(lines) + "\n")
        self.said: list[str] = []

    def images(self, name: str = "posted", **options: Any) -> ImageSet:
        return image_set(name, file=self.file, cache=self.cache, say=self.said.append, **options)

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new, 1))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.delenv("REPRO_IMAGES", raising=False)
    monkeypatch.setattr(transfer, "retrieve", unreachable)
    return Checkout(tmp_path)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unreachable(url: str, *_: object) -> str:
    raise UnreachableError(f"{url} cannot be reached")


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}.tif").write_bytes(content)


def test_downloaded_images_are_used(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(url: str, file: Path, *_: object) -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(POSTED[file.stem])
        return sha256(POSTED[file.stem])

    monkeypatch.setattr(transfer, "retrieve", retrieve)
    images = checkout.images()
    assert (images.name, images.note) == ("posted", "")
    assert images.fixed.read_bytes() == POSTED["fixed"]
    assert images.moving_sha256 == sha256(POSTED["moving"])


@pytest.mark.parametrize("offline", [False, True])
def test_without_network_the_committed_pair_is_used_and_says_so(checkout: Checkout, offline: bool) -> None:
    images = checkout.images(offline=offline)
    assert images.name == "synthetic"
    assert images.fixed.read_bytes() == OWN["fixed"]
    assert (images.fixed_sha256, images.moving_sha256) == (sha256(OWN["fixed"]), sha256(OWN["moving"]))
    assert "'synthetic' in place of 'posted'" in images.note
    assert checkout.said[-1].startswith("NOTE: ")
    assert "REPRO_IMAGES" in checkout.said[-1]


@pytest.mark.parametrize("where", ["cache", "folder"])
def test_images_put_beside_the_checkout_need_no_network(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = checkout.cache / "images" if where == "cache" else tmp_path / "mine"
    put(folder, POSTED)
    if where == "folder":
        monkeypatch.setenv("REPRO_IMAGES", str(folder))
    images = checkout.images(offline=True)
    assert (images.name, images.note) == ("posted", "")
    assert images.fixed == folder / "fixed.tif"


def test_one_image_alone_is_not_mixed_with_the_other_set(checkout: Checkout) -> None:
    put(checkout.cache / "images", {"fixed": POSTED["fixed"]})
    images = checkout.images()
    assert images.fixed.read_bytes() == OWN["fixed"]
    assert images.moving.read_bytes() == OWN["moving"]


def test_a_wrong_image_in_the_users_folder_is_refused(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "mine", {"fixed": b"something else"})
    monkeypatch.setenv("REPRO_IMAGES", str(tmp_path / "mine"))
    with pytest.raises(ConfigError, match=f"expected {sha256(POSTED['fixed'])}, found {sha256(b'something else')}"):
        checkout.images()


def test_a_tampered_download_is_refused_and_not_replaced(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def tampered(*_: object) -> str:
        raise FetchError("sha256 expected a, found b")

    monkeypatch.setattr(transfer, "retrieve", tampered)
    with pytest.raises(FetchError, match="expected a, found b"):
        checkout.images()


def test_a_damaged_committed_image_is_refused(checkout: Checkout) -> None:
    (checkout.file.parent / "synthetic" / "moving.tif").write_bytes(b"half")
    with pytest.raises(ConfigError, match=r"moving\.tif: sha256 expected"):
        checkout.images("synthetic")
    (checkout.file.parent / "synthetic" / "moving.tif").unlink()
    with pytest.raises(FetchError, match="cannot be read"):
        checkout.images("synthetic")


def test_a_set_without_fallback_is_an_error(checkout: Checkout) -> None:
    checkout.edit('fallback = "synthetic"\n', "")
    with pytest.raises(UnreachableError, match="cannot be reached"):
        checkout.images()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "fixed.tif"', 'name = "../fixed.tif"', "file name without folders"),
        ('name = "fixed.tif"', 'name = ".."', "file name without folders"),
        ('name = "fixed.tif"', f'name = "{"x" * 300}"', "file name without folders"),
        ('name = "fixed.tif"', 'name = "a\\u0000b"', "file name without folders"),
        ("https://host", "http://host", "must start with https"),
        ('url = "https://host.invalid/fixed.tif"', "", "one of 'url' and 'path'"),
        ('sha256 = "', 'sha256 = "x', "64 lowercase hexadecimal"),
        ('about = "x"', 'about = "x"\ntypo = 1', "unknown key"),
    ],
)
def test_a_malformed_entry_is_named_with_its_line(checkout: Checkout, old: str, new: str, words: str) -> None:
    checkout.edit(old, new)
    with pytest.raises(ConfigError, match=rf"images\.toml, line \d+, key .*{words}"):
        checkout.images()


def test_an_unknown_set_names_the_known(checkout: Checkout) -> None:
    with pytest.raises(ConfigError, match="has: posted, synthetic"):
        checkout.images("blobs")


def test_the_committed_pair_is_the_fallback_of_the_posted_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REPRO_IMAGES", raising=False)
    images = image_set("posted", offline=True, cache=tmp_path)
    assert images.name == "synthetic"
    assert images.fixed == layout.DATA / "synthetic" / "fixed.tif"


def test_a_set_with_a_seed_is_drawn_once_and_checked(tmp_path: Path) -> None:
    said: list[str] = []
    images = image_set("synthetic-128", offline=True, cache=tmp_path, say=said.append)
    assert images.fixed == tmp_path / "images" / "synthetic-128-fixed.tif"
    assert len(said) == 1
    assert image_set("synthetic-128", offline=True, cache=tmp_path, say=said.append) == images
    assert len(said) == 1
    images.moving.write_bytes(b"half")
    with pytest.raises(ConfigError, match=r"synthetic-128-moving\.tif: sha256 expected .* delete it"):
        image_set("synthetic-128", offline=True, cache=tmp_path)


def test_every_set_says_how_large_its_images_are() -> None:
    root = read_toml(layout.IMAGES_TOML)
    assert all(len(size_px(root.table(name))) == 2 for name in root.values)
