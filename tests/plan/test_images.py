"""Image sets: verified wherever they come from, and replaced loudly where they cannot be had."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from repro.builds import downloads
from repro.builds.downloads import UnreachableError
from repro.errors import ConfigError, FetchError
from repro.paths import DATA
from repro.plan.images import ImageSet, custom, data_files, find, provide, sha256

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
            lines += [f'sha256 = "{digest(content)}"']
        lines += ["[synthetic]", 'about = "y"', 'source = "here"', "size_px = [3, 2]"]
        for name, content in OWN.items():
            (folder / "data" / "synthetic" / f"{name}.tif").write_bytes(content)
            lines += [f"[synthetic.{name}]", f'name = "{name}.tif"', f'path = "synthetic/{name}.tif"']
            lines += [f'sha256 = "{digest(content)}"']
        head = '[posted]\nabout = "x"\nsource = "there"\nsize_px = [3, 2]\nfallback = "synthetic"\n'
        self.file.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        self.said: list[str] = []

    def images(self, name: str = "posted", **options: Any) -> ImageSet:
        return provide(name, file=self.file, cache=self.cache, say=self.said.append, **options)

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.delenv("REPRO_IMAGES", raising=False)
    monkeypatch.setattr(downloads, "download", unreachable)
    return Checkout(tmp_path)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unreachable(url: str, name: str, *, folder: Path, sha256: str, **_: object) -> Path:
    file = folder / name
    if file.is_file() and digest(file.read_bytes()) == sha256:
        return file
    raise UnreachableError(f"{url} cannot be reached")


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}.tif").write_bytes(content)


def test_downloaded_images_are_used(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, name: str, *, folder: Path, **_: object) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(POSTED[name.removesuffix(".tif")])
        return folder / name

    monkeypatch.setattr(downloads, "download", download)
    images = checkout.images()
    assert (images.name, images.size_px) == ("posted", (3, 2))
    assert images.fixed.read_bytes() == POSTED["fixed"]
    assert images.moving_sha256 == digest(POSTED["moving"])
    assert images.extras == {}


@pytest.mark.parametrize("offline", [False, True])
def test_without_network_the_committed_pair_is_used_and_says_so(checkout: Checkout, offline: bool) -> None:
    images = checkout.images(offline=offline)
    assert images.name == "synthetic"
    assert images.fixed.read_bytes() == OWN["fixed"]
    assert (images.fixed_sha256, images.moving_sha256) == (digest(OWN["fixed"]), digest(OWN["moving"]))
    assert len(checkout.said) == 1
    assert checkout.said[0].startswith("NOTE: ")
    assert "REPRO_IMAGES" in checkout.said[0]


@pytest.mark.parametrize("where", ["cache", "folder"])
def test_images_put_beside_the_checkout_need_no_network(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = checkout.cache / "images" if where == "cache" else tmp_path / "mine"
    put(folder, POSTED)
    if where == "folder":
        monkeypatch.setenv("REPRO_IMAGES", str(folder))
    images = checkout.images(offline=True)
    assert images.name == "posted"
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
    with pytest.raises(ConfigError, match=f"expected {digest(POSTED['fixed'])}, found {digest(b'something else')}"):
        checkout.images()


def test_a_tampered_download_is_refused_and_not_replaced(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def tampered(*_: object, **__: object) -> Path:
        raise FetchError("sha256 expected a, found b")

    monkeypatch.setattr(downloads, "download", tampered)
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
    ("old", "new", "key"),
    [
        ('name = "fixed.tif"', 'name = "../fixed.tif"', "fixed.name"),
        ('name = "fixed.tif"', 'name = ".."', "fixed.name"),
        ('name = "fixed.tif"', f'name = "{"x" * 300}"', "fixed.name"),
        ("https://host", "http://host", "fixed.url"),
        ('sha256 = "', 'sha256 = "x', "fixed.sha256"),
        ('about = "x"', 'about = "x"\ntypo = 1', "typo': unknown key"),
        ("size_px = [3, 2]", "size_px = [3]", "size_px"),
        ("size_px = [3, 2]", "size_px = [3, 0]", "size_px.1"),
        ('"synthetic/fixed.tif"', '"../fixed.tif"', "fixed.path"),
    ],
)
def test_a_malformed_entry_is_named(checkout: Checkout, old: str, new: str, key: str) -> None:
    checkout.edit(old, new)
    with pytest.raises(ConfigError, match=rf"images\.toml: key .*{key}"):
        checkout.images()


def test_an_unknown_set_names_the_known(checkout: Checkout) -> None:
    with pytest.raises(ConfigError, match="has: posted, synthetic"):
        checkout.images("blobs")


def test_the_committed_pair_is_the_fallback_of_the_posted_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REPRO_IMAGES", raising=False)
    images = provide("posted", offline=True, cache=tmp_path)
    assert images.name == "synthetic"
    assert images.fixed == DATA / "synthetic" / "fixed.tif"


def test_a_set_with_a_seed_is_drawn_once_and_checked(tmp_path: Path) -> None:
    said: list[str] = []
    images = provide("synthetic-128", offline=True, cache=tmp_path, say=said.append)
    assert images.fixed == tmp_path / "images" / "synthetic-128-fixed.tif"
    assert len(said) == 1
    assert provide("synthetic-128", offline=True, cache=tmp_path, say=said.append) == images
    assert len(said) == 1
    images.moving.write_bytes(b"half")
    with pytest.raises(ConfigError, match=r"synthetic-128-moving\.tif: sha256 expected .* delete it"):
        provide("synthetic-128", offline=True, cache=tmp_path)


def test_the_volume_comes_with_masks(tmp_path: Path) -> None:
    images = provide("synthetic-3d", offline=True, cache=tmp_path)
    assert images.extra_sha256
    assert list(images.extras) == ["fixed_mask", "moving_mask"]
    assert all(file.is_file() for file in images.extras.values())


# ---- the user's own


def test_files_of_the_user_are_found_from_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.mha").write_bytes(b"f")
    (tmp_path / "m.mha").write_bytes(b"m")
    monkeypatch.setenv("REPRO_CWD", str(tmp_path))
    images = custom("f.mha", "m.mha")
    assert (images.name, images.fixed, images.size_px) == ("custom", tmp_path / "f.mha", ())
    assert images.fixed_sha256 == digest(b"f")
    monkeypatch.delenv("REPRO_CWD")
    monkeypatch.delenv("PIXI_PROJECT_ROOT", raising=False)
    with pytest.raises(ConfigError, match=r"--fixed f\.mha: does not exist in .*where the command was started"):
        custom("f.mha", "m.mha")
    monkeypatch.setenv("PIXI_PROJECT_ROOT", "/somewhere")
    monkeypatch.setenv("INIT_CWD", str(tmp_path))
    assert custom("f.mha", "m.mha") == images


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        find(tmp_path, "--fixed")


def test_masks_an_initial_transform_and_points_count_as_inputs(tmp_path: Path) -> None:
    for name in ("f", "m", "mask", "start", "points"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    plain = custom("f", "m", cwd=tmp_path)
    extras = {"moving_mask": "mask", "initial_transform": "start", "fixed_points": "points"}
    more = custom("f", "m", extras, cwd=tmp_path)
    assert plain.extra_sha256 == ""
    assert len(more.extra_sha256) == 32
    assert more.extras == {name: tmp_path / file for name, file in extras.items()}
    (tmp_path / "mask").write_text("another", encoding="utf-8")
    assert custom("f", "m", extras, cwd=tmp_path).extra_sha256 != more.extra_sha256
    with pytest.raises(ConfigError, match="--fixed-mask nothing: does not exist"):
        custom("f", "m", {"fixed_mask": "nothing"}, cwd=tmp_path)


def test_a_link_into_a_store_is_read_by_its_own_name(tmp_path: Path) -> None:
    store = tmp_path / "SHA256E-s1--0123"
    store.write_bytes(b"x")
    try:
        (tmp_path / "f.nii.gz").symlink_to(store)
    except OSError:
        pytest.skip("no links here")
    assert find("f.nii.gz", "--fixed", tmp_path) == tmp_path / "f.nii.gz"


@pytest.mark.parametrize(
    ("header", "content", "data"),
    [
        ("a.mhd", "NDims = 2\nElementDataFile = a.raw\n", ["a.raw"]),
        ("a.mhd", "NDims = 2\r\nElementDataFile = sub/a b.zraw\r\n", ["sub/a b.zraw"]),
        ("a.mhd", "ElementDataFile = LIST\nz0.raw\nz1.raw\n", ["z0.raw", "z1.raw"]),
        ("a.mhd", "ElementDataFile = z%03d.raw 1 3 2\n", ["z001.raw", "z003.raw"]),
        ("a.nhdr", "NRRD0004\ndimension: 2\ndata file: a.raw.gz\n", ["a.raw.gz"]),
        ("a.nhdr", "NRRD0004\ndatafile: LIST\nz0.raw\nz1.raw\n", ["z0.raw", "z1.raw"]),
        ("a.hdr", "anything", ["a.img"]),
        ("a.mha", "ElementDataFile = LOCAL\nbinary", []),
        ("a.nrrd", "NRRD0004\n\nbinary", []),
        ("a.tif", "ElementDataFile = a.raw", []),
    ],
)
def test_other_pixels_behind_one_header_are_another_image(
    tmp_path: Path, header: str, content: str, data: list[str]
) -> None:
    file = tmp_path / header
    file.write_bytes(content.encode())
    parts = [tmp_path / name for name in data]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"pixels")
    assert data_files(file) == parts
    digests = {sha256(file)}
    for part in parts:
        part.write_bytes(b"others")
        digests.add(sha256(file))
    assert len(digests) == 1 + len(parts)
    if not parts:
        assert sha256(file) == digest(content.encode())


def test_missing_pixels_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.mhd").write_text("ElementDataFile = gone.raw\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"gone\.raw: cannot be read"):
        sha256(tmp_path / "a.mhd")
