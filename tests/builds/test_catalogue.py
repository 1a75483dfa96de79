"""params/builds.toml: builds and pairs by name, and errors that name the place."""

from pathlib import Path

import pytest

from repro.builds import wheels
from repro.builds.addition import requirements
from repro.builds.catalogue import load_catalogue
from repro.errors import ConfigError
from repro.model import PLATFORMS
from repro.paths import WHEEL_LOCKS

GOOD = """
[pair."0.25.4-5.3.1"]
about = "x"
cli = "5.3.1"
api = "0.25.4"
[cli."5.3.1"]
debian_suites = ["forky"]
archives = { linux-64 = "elastix-5.3.1-ubuntu.zip" }
[api."0.25.4"]
python = "3.14"
as_of = 2026-08-22
[api."0.25.10"]
python = "3.14"
as_of = 2026-08-22
[api."0.9.0"]
python = "3.14"
as_of = 2020-08-22
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "builds.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_pair_names_its_builds_and_has_the_python_of_its_wheels(tmp_path: Path) -> None:
    known = load_catalogue(written(tmp_path, GOOD))
    pair = known.pairs["0.25.4-5.3.1"]
    assert (pair.cli, pair.api, pair.sitk) == ("cli:5.3.1", "api:0.25.4", None)
    assert (pair.python, pair.environment) == ("3.14", "pair-0-25-4-5-3-1")
    assert known.builds["cli:5.3.1"].archives == {"linux-64": "elastix-5.3.1-ubuntu.zip"}


def test_releases_are_ordered_by_version_and_measured_in_an_environment_with_their_python(tmp_path: Path) -> None:
    known = load_catalogue(written(tmp_path, GOOD))
    assert [one.version for one in known.releases()] == ["0.9.0", "0.25.4", "0.25.10"]
    assert {one.environment for one in known.releases()} == {"pair-0-25-4-5-3-1"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cli = "5.3.1"', 'cli = "5.3.2"', "the name must be '<api>-<cli>'"),
        ('[cli."5.3.1"]', '[cli."5.3.0"]', "no entry of its own says where cli:5.3.1"),
        ('about = "x"', 'abuot = "x"', "abuot"),
        ('[api."0.9.0"]', '[api."latest"]', "must be a version"),
        ('python = "3.14"\nas_of = 2020', 'python = "newest"\nas_of = 2020', "must be a Python version"),
        ('python = "3.14"\nas_of = 2020', "as_of = 2020", "python and as_of are needed"),
        ("linux-64", "linux-46", "'linux-46' is no platform"),
        ("elastix-5.3.1-ubuntu.zip", "../x.zip", "'../x.zip' must be made of"),
        ('"forky"', '"a b"', "'a b' must be made of"),
        ("as_of = 2020-08-22", 'as_of = "soon"', "as_of"),
        ("[pair", "[[pair", "is not valid TOML"),
    ],
)
def test_an_error_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=r"builds\.toml: ") as caught:
        load_catalogue(written(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"api:1\.0: no build of this name; .*cli:5\.3\.1.*api:0\.25\.4"):
        load_catalogue(written(tmp_path, GOOD)).build("api:1.0")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_catalogue(tmp_path / "none.toml")


def test_the_project_s_own_builds_have_a_lock_each_with_their_version_and_no_place() -> None:
    known = load_catalogue()
    assert known.newest_pair().name == "0.25.4-5.3.1"
    locked = {build.lock for build in known.builds.values() if build.python}
    assert locked == set(WHEEL_LOCKS.glob("*.txt"))
    for build in known.builds.values():
        assert set(build.unavailable) <= set(PLATFORMS)
        if build.python:
            assert build.environment
            text = build.lock.read_text(encoding="utf-8")
            assert "://" not in text
            for requirement in requirements(build):
                name, _, version = requirement.partition("==")
                versions = wheels.locked(build.lock)[name]
                assert not version or list(versions) == [version]
            assert all(
                "--hash=sha256:" in lines for one in wheels.locked(build.lock).values() for lines in one.values()
            )


@pytest.mark.parametrize(
    ("name", "itk"), [("0.21.0", "5.4.5"), ("0.25.1", "5.4.5"), ("0.25.3", "5.4.6"), ("0.25.4", "5.4.7")]
)
def test_each_release_has_the_itk_of_its_day(name: str, itk: str) -> None:
    assert list(wheels.locked(load_catalogue().builds[f"api:{name}"].lock)["itk"]) == [itk]
