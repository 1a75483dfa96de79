from pathlib import Path

import pytest

from repro.builds.config import load_pairs, load_releases
from repro.errors import ConfigError
from repro.model import is_api_only

GOOD = """
[pair."1.0.0-2.0.0"]
itk_elastix = "1.0.0"
elastix = "2.0.0"
python = "3.11"
as_of = 2026-03-24
[pair."1.0.0-2.0.0".unavailable]
osx-64 = "no wheels"
[elastix."2.0.0"]
tag = "2.0.0"
debian_suites = ["forky", "sid"]
[elastix."2.0.0".archive]
linux-64 = { name = "elastix.zip" }
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "pairs.toml"
    file.write_text(text)
    return file


def test_a_pair_knows_its_executable_and_its_environment(tmp_path: Path) -> None:
    pair = load_pairs(write(tmp_path, GOOD))["1.0.0-2.0.0"]
    assert pair.elastix == "2.0.0"
    assert pair.environment == "pair-1-0-0-2-0-0"
    assert pair.executable is not None
    assert pair.executable.debian_suites == ("forky", "sid")
    assert pair.executable.archives["linux-64"].sha256 == ""
    assert pair.unavailable == {"osx-64": "no wheels"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('elastix = "2.0.0"\npython', 'elastix = "2.0.1"\npython', "the name must be"),
        ("as_of = 2026-03-24", 'as_of = "24 March"', r"line 6, key 'pair.1.0.0-2.0.0.as_of'.*a date"),
        ("as_of = 2026-03-24\n", "", "'as_of' is missing"),
        ('osx-64 = "no wheels"', 'osx-63 = "no wheels"', r"line 8.*unknown platform; known: linux-64"),
        ('name = "elastix.zip"', 'name = "elastix.zip", sha256 = "00"', r"line 13.*64 lowercase hexadecimal"),
        ('[elastix."2.0.0"]\ntag', '[elastix."3.0.0"]\ntag', "says where it can be had|tag"),
        ('debian_suites = ["forky", "sid"]', "debian_suites = [1]", r"line 11.*must be text"),
        ('debian_suites = ["forky", "sid"]', 'debian_suites = ["sid main\\ndeb x"]', r"line 11.*name of a suite"),
        ('name = "elastix.zip"', 'name = "../elastix.zip"', r"line 13.*must be made of letters"),
        ('tag = "2.0.0"', 'tag = "../../other"', r"line 10.*must be made of letters"),
        ("as_of = 2026-03-24", "as_of = 2026-03-24T08:00:00", r"line 6.*must be a date"),
        ('python = "3.11"', f"python = {'9' * 5000}", "is not valid TOML"),
        ('python = "3.11"', f"python = {'[' * 5000}", "is not valid TOML"),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=said) as caught:
        load_pairs(write(tmp_path, GOOD.replace(old, new)))
    assert "pairs.toml" in str(caught.value)


RELEASE = """
[release."0.10.0"]
python = "3.11"
as_of = 2025-03-10
[release."0.9.1"]
python = "3.11"
as_of = 2024-03-10
[release."0.9.1".unavailable]
osx-arm64 = "no wheels"
"""


def test_releases_are_api_only_and_shared_with_the_pairs(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + RELEASE)
    releases = load_releases(file)
    assert list(releases) == ["0.9.1", "0.10.0", "1.0.0"]
    assert all(one.api_only and is_api_only(name) and one.elastix == "" for name, one in releases.items())
    assert {one.environment for one in releases.values()} == {"pair-1-0-0-2-0-0"}
    assert releases["0.9.1"].unavailable == {"osx-arm64": "no wheels"}
    assert releases["0.9.1"].wheels_of == ""
    held = releases["1.0.0"]
    assert (held.wheels_of, held.as_of, held.unavailable) == ("1.0.0-2.0.0", held.as_of, {"osx-64": "no wheels"})
    pairs = load_pairs(file)
    assert list(pairs) == ["1.0.0-2.0.0"]
    assert not is_api_only("1.0.0-2.0.0")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"0.10.0"', '"1.0.0"', r"line 15.*the pair 1.0.0-2.0.0 has this release already"),
        ('"0.10.0"', '"latest"', "the name must be an itk-elastix version"),
        ('python = "3.11"', 'python = "3.12"', "no pair has Python 3.12"),
        ('python = "3.11"', 'python = "3.11"\nelastix = "5"', r"line 17.*unknown key"),
        ("osx-arm64", "osx-63", "unknown platform"),
    ],
)
def test_an_error_in_a_release_names_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RELEASE
    with pytest.raises(ConfigError, match=said):
        load_releases(write(tmp_path, GOOD + RELEASE.replace(old, new, 1)))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_pairs(tmp_path / "pairs.toml")


def test_the_pairs_of_the_project_load() -> None:
    pairs = load_pairs()
    assert next(iter(pairs)) == "0.21.0-5.2.0"
    assert {pair.python for pair in pairs.values()} >= {"3.11", "3.14"}
