"""The user's own builds: named by what they say and are, kept or refused in one sentence with nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from repro.builds import archives, given, installed, wheels
from repro.builds.catalogue import CatalogueBuild
from repro.builds.installed import InstalledBuild
from repro.errors import ConfigError, FetchError, ReproError, UnavailableError
from repro.system.platforms import SYSTEM, executable_name
from support import builds_house, builds_wheels
from support.builds_house import House

NEEDS = ["itk~=5.4.6"]


@pytest.fixture
def known(house: House) -> House:
    """A house with two api builds, of ITK 5.4.6 and 5.4.7."""
    old, new = house.api("0.25.3", "5.4.6"), house.api("0.25.4", "5.4.7")
    house.knows(old, new, house.sitk(), CatalogueBuild("cli", "5.3.1"), pair=("api:0.25.4", "cli:5.3.1"))
    return house


def resolve(house: House, text: object, **options: str) -> InstalledBuild:
    return given.resolve(str(text), root=house.root, cache=house.cache, say=house.said.append, **options)  # type: ignore[arg-type]


def wheel(house: House, version: str = "0.25.5.dev3", needs: list[str] = NEEDS, **options: str) -> Path:
    return builds_wheels.make(house.folder / "mine", "itk-elastix", version, needs=needs, **options)  # type: ignore[arg-type]


def itk(house: House, version: str, folder: str = "mine") -> list[Path]:
    needs = {"itk": [f"itk-core=={version}"], "itk-core": []}
    return [builds_wheels.make(house.folder / folder, name, version, needs=needs[name]) for name in needs]


# ---- wheels


def test_a_wheel_is_named_by_its_version_and_digest_and_gets_the_newest_itk_that_it_takes(known: House) -> None:
    build = resolve(known, wheel(known))
    assert build.name.startswith("api:0.25.5.dev3+")
    assert build.name.endswith(build.build.digest[:8])
    assert build.folder == known.root / build.name.replace(":", "-")
    assert (build.build.own, build.source, build.facts["itk"]) == (True, "given", "5.4.7")
    assert installed.load(build.name, known.root).build == build.build
    assert installed.verify(build) == []


def test_two_wheels_of_one_version_are_two_builds_and_the_same_wheel_is_one(known: House) -> None:
    first = resolve(known, wheel(known))
    other = builds_wheels.make(
        known.folder / "b", "itk-elastix", "0.25.5.dev3", needs=NEEDS, files={"itk_elastix.py": b"OTHER = 1\n"}
    )
    second = resolve(known, other)
    assert first.build.version == second.build.version
    assert first.name != second.name
    known.monkeypatch.setattr(wheels, "install", lambda *_, **__: pytest.fail("installed again"))
    assert resolve(known, wheel(known)).build == first.build


def test_a_wheel_that_was_changed_by_hand_is_another_build_although_its_list_is_the_old_one(known: House) -> None:
    file = wheel(known)
    first = resolve(known, file)
    second = resolve(known, builds_wheels.changed(file, "itk_elastix.py", b"CHANGED = 1\n"))
    assert first.name != second.name
    assert installed.verify(second) == []


def test_the_itk_of_a_lock_can_be_asked_for(known: House) -> None:
    assert resolve(known, wheel(known), itk="5.4.6").facts["itk"] == "5.4.6"
    with pytest.raises(ConfigError, match=r"no lock of the catalogue has ITK 6\.0, they have 5\.4\.6, 5\.4\.7; put"):
        resolve(known, wheel(known), itk="6.0")


@pytest.mark.parametrize("named", ["file", "folder"])
def test_wheels_of_itk_beside_it_are_used(known: House, named: str) -> None:
    file = wheel(known, needs=["itk~=5.5.0"])
    itk(known, "5.5.1")
    build = resolve(known, file if named == "file" else file.parent)
    assert build.facts["itk"] == "5.5.1"
    assert len(build.facts["wheels"]) == 3


def test_a_zip_of_wheels_is_a_folder_of_wheels(known: House) -> None:
    file = wheel(known)
    archive = builds_house.zipped(file.parent, known.folder / "dist.zip")
    assert resolve(known, archive).build == resolve(known, file).build


def test_a_wheel_of_simpleitk_is_a_build_of_its_path(known: House) -> None:
    file = builds_wheels.make(known.folder / "mine", "simpleitk-simpleelastix", "3.0.1.dev1")
    assert resolve(known, file).name.startswith("sitk:3.0.1.dev1+")


def test_a_folder_with_the_wheels_of_every_platform_gives_the_one_that_fits(known: House) -> None:
    wheel(known, tag="cp311-abi3-win_arm64")
    file = wheel(known)
    assert resolve(known, file.parent).facts["wheels"].keys() == {file.name}


def two_builds(house: House) -> Path:
    wheel(house, "0.25.6")
    return wheel(house).parent


def beside_itk(house: House, needs: str, *, core: bool = True) -> Path:
    """A folder with a wheel that needs this, and ITK 5.5.1."""
    itk_core = itk(house, "5.5.1")[1]
    if not core:
        itk_core.unlink()
    return wheel(house, needs=[needs]).parent


def stranger(house: House) -> Path:
    builds_wheels.make(house.folder / "mine", "torch", "2.0")
    return wheel(house).parent


def folder_of(house: House, *names: str) -> Path:
    (house.folder / "mine").mkdir()
    for name in names:
        (house.folder / "mine" / name).touch()
    return house.folder / "mine"


def broken_zip(house: House) -> Path:
    file = builds_house.zipped(builds_house.layout(house.folder / "release"), house.folder / "release.zip")
    file.write_bytes(file.read_bytes()[:200])
    return file


def says(house: House, what: str) -> Path:
    return builds_house.program(house.folder / executable_name("elastix"), what)


def plain_file(house: House, name: str, content: bytes, mode: int) -> Path:
    file = house.folder / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


OTHER_SYSTEM = b"\xcf\xfa\xed\xfe" if SYSTEM != "darwin" else b"\x7fELF".ljust(18) + b"\xb7\0" + b"\0" * 44
BAD: list[Any] = [
    (
        lambda house: builds_wheels.make(house.folder / "mine", "numpy", "2.0"),
        r"numpy-2\.0-py3-none-any\.whl: is a wheel of numpy; give one of itk-elastix or simpleitk",
    ),
    (lambda house: builds_wheels.broken(wheel(house)), r"\.whl: is broken \(.*\); build or download it again"),
    (
        lambda house: wheel(house, needs=["itk~=5.4.6\nRequires-Python: banana"]),
        r"says what it needs in a way that cannot be read \(.*banana.*\); build or download it again",
    ),
    (lambda house: house.folder / ("a" * 300), r"aaa.*(cannot be used as a path|there is no such file)"),
    (
        lambda house: Path("~no-such-user-here/elastix"),
        r"(cannot be used as a path \(.*\); give another|there is no such file)",
    ),
    (lambda house: house.folder / "\udcff" / "elastix", r"cannot be used as a path \(.*\); give another"),
    (
        lambda house: wheel(house).rename(house.folder / "elastix.whl"),
        r"elastix\.whl: is not named as wheels are; give it the name",
    ),
    (lambda house: wheel(house, says="0.25.4"), r"says inside that it is itk-elastix 0\.25\.4; give it the name"),
    (
        lambda house: wheel(house, tag="cp311-abi3-macosx_99_0_arm64"),
        r"is made for cp311-abi3-macosx_99_0_arm64, here Python .* loads it; give the wheel",
    ),
    (
        lambda house: wheel(house, tag="cp27-cp27m-manylinux1_x86_64"),
        r"is made for cp27-cp27m-manylinux1_x86_64, here Python .* loads it; give the wheel",
    ),
    (two_builds, r"itk_elastix-0\.25\.\S+ and itk_elastix-0\.25\.\S+: two builds; give one of the files"),
    (
        lambda house: beside_itk(house, "itk~=5.4.7"),
        r"needs itk~=5\.4\.7, itk-5\.5\.1-py3-none-any\.whl has 5\.5\.1; give wheels of one ITK, or its version",
    ),
    (
        lambda house: beside_itk(house, "itk~=5.5.0", core=False),
        r"itk.*needs itk-core==5\.5\.1, api-0\.25\.4\.txt has 5\.4\.7; give wheels of one ITK",
    ),
    (
        lambda house: wheel(house, needs=["itk~=6.0"]),
        r"no lock of the catalogue has itk~=6\.0, they have 5\.4\.6, 5\.4\.7; put the wheels of ITK beside it",
    ),
    (lambda house: wheel(house, needs=["itk~=5.4.6", "torch>=2"]), r"needs torch>=2, there is none; "),
    (stranger, r"torch-2\.0\S+: is a wheel of torch, which itk-elastix does not need; take it away"),
    (folder_of, r"mine: holds no elastix(\.exe)?, neither at its top nor in bin/; give the executable"),
    (broken_zip, r"release\.zip: is a damaged zip archive, or none .*download it again"),
    (
        lambda house: builds_house.zipped(folder_of(house, "README"), house.folder / "nothing.zip"),
        r"elastix: holds no elastix(\.exe)?, neither at its top nor in bin/; give the executable",
    ),
    (lambda house: says(house, "hello"), r"is no elastix that runs here: .*said: hello.*; give an elastix made for"),
    (
        lambda house: says(house, "fails"),
        r"ended with status 3 and said: error while loading shared libraries: libfoo\.so; give an",
    ),
    (
        lambda house: plain_file(house, executable_name("elastix"), OTHER_SYSTEM, 0o755),
        r"does not run here: it is made for (macOS|linux-aarch64), this is .*; give one made for",
    ),
    pytest.param(
        lambda house: plain_file(house, "notes.txt", b"x", 0o644),
        r"notes\.txt: is no executable, no wheel \(\.whl\) and no zip archive \(\.zip\)",
        marks=pytest.mark.skipif(SYSTEM == "win32", reason="every file may be executed"),
    ),
    (lambda house: house.folder / "none.whl", r"none\.whl: there is no such file or folder; look for a typing error"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_what_cannot_be_used_is_refused_with_the_cure_and_nothing_is_left(
    known: House, bad: Callable[[House], Path], words: str
) -> None:
    path = bad(known)
    with pytest.raises(ReproError, match=words) as caught:
        resolve(known, path)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    assert known.left() == []


def test_wheels_that_cannot_be_installed_leave_nothing(known: House) -> None:
    file = wheel(known)
    for one in known.index.glob("itk_core-*"):
        one.unlink()
    with pytest.raises(FetchError, match="could not be installed"):
        resolve(known, file)
    assert known.left() == []


# ---- executables


def test_an_executable_by_its_path_is_named_by_what_it_says(known: House, tmp_path: Path) -> None:
    program = builds_house.program(tmp_path / "mine" / "elastix-of-the-pull-request", "5.3.2")
    build = resolve(known, program)
    assert build.name == f"cli:5.3.2+{build.build.digest[:8]}"
    assert build.command == (str(program),)
    assert (build.source, build.facts["elastix"], build.transformix()) == ("given", "5.3.2", None)


def test_a_folder_with_bin_and_lib_is_used_where_it_is_with_its_libraries(known: House, tmp_path: Path) -> None:
    folder = builds_house.layout(tmp_path / "artifact")
    build = resolve(known, folder)
    assert resolve(known, folder / "bin" / executable_name("elastix")).build == build.build
    assert build.transformix() is not None
    if SYSTEM != "win32":
        (folder / "lib" / "libANNlib-5.3.so").write_bytes(b"another")
        with pytest.raises(ConfigError, match="give it again, it is another build now"):
            installed.check(build)
        assert resolve(known, folder).build.digest != build.build.digest


def test_a_zip_of_upstream_s_ci_is_unpacked_although_it_lost_the_executable_bit(known: House, tmp_path: Path) -> None:
    folder = builds_house.layout(tmp_path / "artifact" / "elastix-linux")
    archive = builds_house.zipped(folder.parent, tmp_path / "artifact.zip", executable=False)
    build = resolve(known, archive)
    archive.unlink()
    installed.check(build)
    assert Path(build.command[-1]).is_relative_to(build.folder)


def test_the_same_executable_in_two_places_is_one_build_and_used_where_it_was_given_last(
    known: House, tmp_path: Path
) -> None:
    first = resolve(known, builds_house.program(tmp_path / "a" / executable_name("elastix")))
    second = resolve(known, builds_house.program(tmp_path / "b" / executable_name("elastix")))
    assert first.build == second.build
    assert installed.load(first.name, known.root).command == (str(tmp_path / "b" / executable_name("elastix")),)


@pytest.mark.skipif(SYSTEM == "win32", reason="only an administrator makes links there")
def test_a_link_to_an_executable_brings_its_libraries(known: House, tmp_path: Path) -> None:
    folder = builds_house.layout(tmp_path / "opt")
    link = tmp_path / "bin" / "elastix"
    link.parent.mkdir()
    link.symlink_to(folder / "bin" / "elastix")
    build = resolve(known, link)
    assert build.build == resolve(known, folder).build
    assert build.transformix()


@pytest.mark.skipif(SYSTEM == "win32", reason="a script stands for the executable")
@pytest.mark.parametrize("version", ["../../elsewhere", "5.3.1/x", "9" * 400, "5.3.1\x1b[31m"])
def test_a_version_that_cannot_name_a_folder_is_refused(known: House, tmp_path: Path, version: str) -> None:
    program = tmp_path / "mine" / "elastix"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'elastix version: {version}'\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(FetchError, match="is no elastix that runs here"):
        resolve(known, program)
    assert known.left() == []


def test_an_executable_that_was_rebuilt_in_its_place_is_another_build(known: House, tmp_path: Path) -> None:
    program = tmp_path / executable_name("elastix")
    first = resolve(known, builds_house.program(program, "5.3.1"))
    second = resolve(known, builds_house.program(program, "5.3.2"))
    assert first.build.digest != second.build.digest
    with pytest.raises(ConfigError, match="is not what was fetched"):
        installed.check(first)


# ---- names


def test_a_build_is_kept_under_a_name(known: House) -> None:
    build = given.keep(str(wheel(known)), "mine", root=known.root)
    assert resolve(known, "mine").build == build.build
    assert resolve(known, build.name).build == build.build
    assert given.keep(str(wheel(known)), "mine", root=known.root).name == build.name


def test_a_kept_name_wins_over_a_file_of_the_current_folder_and_a_path_is_always_a_file(known: House) -> None:
    kept = given.keep(str(wheel(known)), "mine", root=known.root)
    known.monkeypatch.chdir(known.folder)
    file = wheel(known, "0.25.6")
    assert (known.folder / "mine").is_dir()
    assert resolve(known, "mine").build == kept.build
    assert resolve(known, "./mine/" + file.name).build.version == "0.25.6"
    for old in (known.folder / "mine").glob("*dev3*"):
        old.unlink()
    assert resolve(known, "./mine").build.version == "0.25.6"
    with pytest.raises(ConfigError, match="has this name; choose another"):
        given.keep("mine", "mine", root=known.root)


def test_a_build_keeps_its_name_when_the_same_files_are_given_from_another_place(known: House, tmp_path: Path) -> None:
    first, second = (builds_house.program(tmp_path / place / executable_name("elastix")) for place in "ab")
    kept = given.keep(str(first), "mine", root=known.root)
    resolve(known, second)
    assert resolve(known, "mine").build == kept.build


def test_a_build_that_was_used_once_is_discarded_by_the_last_that_uses_it(known: House) -> None:
    build = resolve(known, wheel(known))
    with FileLock(known.root / f".{build.folder.name}-another-process.lock"):
        given.discard(build)
        assert installed.verify(build) == []
    given.discard(resolve(known, wheel(known)))
    assert known.left() == []


def test_a_build_that_was_named_meanwhile_is_kept(known: House) -> None:
    build = resolve(known, wheel(known))
    given.keep(str(wheel(known)), "mine", root=known.root)
    given.discard(build)
    assert resolve(known, "mine").build == build.build


@pytest.mark.parametrize("name", ["api:0.25.4", "0.25.4-5.3.1", "a b", "", "../x"])
def test_a_name_that_is_taken_or_cannot_be_typed_is_refused(known: House, name: str) -> None:
    with pytest.raises(ConfigError, match="give a name of letters"):
        given.keep(str(wheel(known)), name, root=known.root)
    given.keep(str(wheel(known)), "mine", root=known.root)
    with pytest.raises(ConfigError, match="has this name; choose another"):
        given.keep(str(wheel(known, "0.25.6")), "mine", root=known.root)


def test_a_name_of_the_catalogue_is_fetched_where_it_is_missing(known: House) -> None:
    assert resolve(known, "api:0.25.3").facts["itk"] == "5.4.6"
    with pytest.raises(ConfigError, match="has its name already"):
        given.keep("api:0.25.3", "mine", root=known.root)


def test_a_word_that_is_nothing_says_where_the_names_are(known: House) -> None:
    with pytest.raises(UnavailableError, match=r"api:1\.0 is neither in the catalogue .* nor a build of your own"):
        resolve(known, "api:1.0")


def test_the_bounds_of_archives_hold_for_given_ones(known: House, tmp_path: Path) -> None:
    known.monkeypatch.setattr(archives, "MAX_BYTES", 10)
    with pytest.raises(FetchError, match="at most"):
        resolve(known, builds_house.zipped(builds_house.layout(tmp_path / "x"), tmp_path / "x.zip"))
    assert known.left() == []
