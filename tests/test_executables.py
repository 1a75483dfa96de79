"""Where the executable comes from, in which order, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import parts
from repro.builds import debian, downloads, executables
from repro.builds.debian import Unpacked
from repro.builds.downloads import UnreachableError
from repro.builds.executables import Provided, Request, check_version, provide
from repro.errors import FetchError, UnavailableError
from repro.model import Pair

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="scripts stand for executables here")
PAIR = parts.pair(suites=("forky", "sid"))


def request(tmp_path: Path, pair: Pair = PAIR, platform: str = "linux-64") -> Request:
    assert pair.executable is not None
    return Request(pair.executable, platform, tmp_path / "elastix", tmp_path / "cache")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Both sources fail; the list says which were asked."""
    sources: list[str] = []

    def failing(name: str) -> Callable[..., Path]:
        def source(*_: object, **__: object) -> Path:
            sources.append(name)
            raise UnreachableError(f"no {name} today")

        return source

    monkeypatch.setattr(downloads, "download", failing("release"))
    monkeypatch.setattr(debian, "unpack", failing("debian"))
    return sources


def give_release(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    monkeypatch.setattr(downloads, "download", lambda *_, **__: archive)


@pytest.mark.parametrize(
    ("source", "expected"), [("auto", ["release", "debian"]), ("release", ["release"]), ("debian", ["debian"])]
)
def test_each_source_is_tried_in_order_and_its_reason_told(
    tmp_path: Path, asked: list[str], source: str, expected: list[str]
) -> None:
    with pytest.raises(UnavailableError) as caught:
        provide(request(tmp_path), source)
    assert asked == expected
    for name in expected:
        assert f"{name}: no {name} today" in str(caught.value)
    assert "--source PATH" in str(caught.value)


def test_a_platform_without_archive_or_debian_tells_both(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"release: no archive for linux-riscv; debian: no suite is known"):
        provide(request(tmp_path, parts.pair(), "linux-riscv"))
    with pytest.raises(UnavailableError, match=r"debian: not on osx-64"):
        provide(request(tmp_path, PAIR, "osx-64"), "debian")


def test_the_release_comes_with_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_release(monkeypatch, parts.release(tmp_path / "a.zip"))
    provided = provide(request(tmp_path))
    program = tmp_path / "elastix" / "elastix-5" / "bin" / "elastix"
    assert provided.command == (str(program),)
    assert list(provided.environment.values()) == [str(tmp_path / "elastix/elastix-5/lib")]
    assert provided.files["elastix-5/bin/elastix"] == downloads.sha256_of(program)
    assert provided.source == "release"
    assert provided.facts["pinned"] is False
    assert provided.facts["sha256"] == downloads.sha256_of(tmp_path / "a.zip")


def test_a_release_with_the_program_at_the_top_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_release(monkeypatch, parts.release(tmp_path / "a.zip", name="elastix"))
    provided = provide(request(tmp_path))
    assert provided.command == (str(tmp_path / "elastix" / "elastix"),)
    assert provided.environment == {}


def test_a_release_without_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_release(monkeypatch, parts.release(tmp_path / "a.zip", name="bin/transformix"))
    with pytest.raises(FetchError, match="holds no elastix"):
        provide(request(tmp_path))


def test_a_tampered_release_is_not_replaced_by_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Path:
        raise FetchError("sha256 expected a, found b")

    monkeypatch.setattr(downloads, "download", refused)
    monkeypatch.setattr(debian, "unpack", lambda *_, **__: pytest.fail("went on to Debian"))
    with pytest.raises(FetchError, match="expected a, found b"):
        provide(request(tmp_path))


def test_the_release_is_asked_for_by_its_pinned_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, object]] = []

    def download(url: str, _: str, **options: object) -> Path:
        calls.append((url, options["sha256"]))
        return parts.release(tmp_path / "a.zip")

    monkeypatch.setattr(downloads, "download", download)
    assert provide(request(tmp_path, parts.pair(sha256="0" * 64))).facts["pinned"] is True
    assert calls == [(f"{executables.RELEASES}/5.3.1/elastix-5.3.1.zip", "0" * 64)]


def test_debian_starts_through_its_own_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(_: str, __: object, folder: Path, **___: object) -> Unpacked:
        parts.program(folder / "lib" / "ld-linux.so.2")
        parts.program(folder / "elastix")
        return Unpacked("sid", "5.3.1-1", {"elastix.deb": "0" * 64}, "ld-linux.so.2")

    monkeypatch.setattr(debian, "unpack", unpack)
    folder = tmp_path / "elastix"
    provided = provide(request(tmp_path), "debian")
    assert provided.command == (
        str(folder / "lib/ld-linux.so.2"),
        "--library-path",
        str(folder / "lib"),
        str(folder / "elastix"),
    )
    assert provided.source == "debian sid"
    assert set(provided.files) == {"elastix", "lib/ld-linux.so.2"}
    assert provided.facts["debs"] == {"elastix.deb": "0" * 64}


@pytest.mark.parametrize("where", ["elastix", "bin/elastix", "elastix-5.3.1/bin/elastix", "with space/elastix"])
def test_a_path_or_its_folder_can_be_given(tmp_path: Path, where: str) -> None:
    program = parts.program(tmp_path / "given" / where)
    assert provide(request(tmp_path), str(program)).command == (str(program),)
    assert provide(request(tmp_path), str(tmp_path / "given")).command == (str(program),)
    assert provide(request(tmp_path), str(program)).source == "given"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = parts.program(tmp_path / "elastix")
    monkeypatch.chdir(tmp_path)
    assert provide(request(tmp_path), "./elastix").command == (str(program),)


def test_a_path_that_is_no_executable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no such file.*auto, release, debian"):
        provide(request(tmp_path), str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FetchError, match="there is no elastix in it"):
        provide(request(tmp_path), str(tmp_path / "empty"))
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(FetchError, match="may not be executed"):
        provide(request(tmp_path), str(tmp_path / "text"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (parts.script("5.2.0"), "is elastix 5.2.0, the pair needs 5.3.1"),
        (parts.script("5.3.10"), "is elastix 5.3.10, the pair needs 5.3.1"),
        (parts.script(says="something else"), r"is no elastix .* said: something else"),
        (parts.script(says="", status=3), "status 3"),
        ("\x7fELF no program", "does not run here"),
    ],
)
def test_what_does_not_say_the_pairs_version_is_refused(tmp_path: Path, text: str, words: str) -> None:
    program = parts.program(tmp_path / "elastix", text)
    with pytest.raises(FetchError, match=words) as caught:
        check_version(Provided("given", (str(program),)), "5.3.1")
    assert str(program) in str(caught.value)


def test_how_an_executable_was_built_is_what_it_says_of_it(tmp_path: Path) -> None:
    said = ("elastix version: 5.3.1", "Build date: Mar 22 2026", "Compiler: GCC version 15.2.0", "ITK version: 5.4.5")
    program = parts.program(tmp_path / "elastix", parts.script(says="\n".join((*said, "Path: /home/me"))))
    found = executables.built_with((str(program),), {})
    assert found == said[1:]
    assert executables.built_with((str(tmp_path / "none"),), {}) == ()
    assert executables.built_with((str(parts.program(tmp_path / "mute", parts.script(says=""))),), {}) == ()


def test_a_program_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executables, "_VERSION_TIMEOUT_S", 0.2)
    program = parts.program(tmp_path / "elastix", f"#!{sys.executable} -IS\nimport time\ntime.sleep(600)\n")
    with pytest.raises(FetchError, match="does not run here"):
        check_version(Provided("given", (str(program),)), "5.3.1")


def test_a_release_that_does_not_run_here_gives_way_to_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the loader says of a release that was built on a newer system.
    newer = f"#!{sys.executable} -IS\nimport sys\nsys.exit('version `GLIBC_2.39\\' not found')\n"
    give_release(monkeypatch, parts.release(tmp_path / "a.zip", newer))

    def unpack(_: str, __: object, folder: Path, **___: object) -> Unpacked:
        assert not folder.exists()
        parts.program(folder / "lib" / "ld-linux.so.2")
        parts.program(folder / "elastix")
        return Unpacked("sid", "5.3.1-1", {}, "ld-linux.so.2")

    monkeypatch.setattr(debian, "unpack", unpack)
    assert provide(request(tmp_path)).source == "debian sid"
    with pytest.raises(UnavailableError, match=r"release: .*GLIBC_2\.39"):
        provide(request(tmp_path / "other"), "release")


def test_a_release_of_another_version_does_not_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_release(monkeypatch, parts.release(tmp_path / "a.zip", parts.script("5.2.0")))
    monkeypatch.setattr(debian, "unpack", lambda *_, **__: pytest.fail("went on to Debian"))
    with pytest.raises(FetchError, match=r"is elastix 5\.2\.0"):
        provide(request(tmp_path))


def test_a_folder_that_is_there_already_is_left_alone(tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "elastix").mkdir()
    with pytest.raises(FetchError, match="is there already"):
        provide(request(tmp_path), "release")
    assert asked == []
    assert (tmp_path / "elastix").is_dir()


def test_an_unpinned_release_gives_way_to_debian_where_pins_are_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: object, **__: object) -> Unpacked:
        raise UnreachableError("asked Debian")

    monkeypatch.setattr(debian, "unpack", unpack)
    assert PAIR.executable is not None
    pinned = Request(PAIR.executable, "linux-64", tmp_path / "elastix", tmp_path / "cache", require_pinned=True)
    with pytest.raises(UnavailableError, match=r"release: .*no sha256 is pinned.*debian: asked Debian"):
        provide(pinned)
