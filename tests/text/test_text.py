from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import text
from repro.model import Estimate
from repro.paths import ROOT


def test_figures_have_three_significant_digits() -> None:
    assert [text.ratio(v) for v in (10.93, 1.024, 0.98, 0.083, 448.0, 99.97, 9.996, 2e7, 1e-5, 0.0)] == [
        *("10.9", "1.02", "0.98", "0.083", "448", "100", "10.0", "2.00e+07", "1.00e-05", "0.000")
    ]
    assert text.seconds(21.94) == "21.9"
    assert text.mebibytes(5 * 2**20) == "5 MiB"


def test_what_is_not_known_is_a_dash() -> None:
    unknown = (text.ratio(None), text.seconds(float("nan")), text.mebibytes(None), text.estimate(None), text.line(""))
    assert {*unknown, text.duration(None), text.duration(float("inf"))} == {text.UNKNOWN}


def test_an_estimate_is_said_with_its_ends_where_it_has_some() -> None:
    assert text.estimate(Estimate(10.92, 10.41, 11.3, "interval", 6)) == "10.9 [10.4, 11.3]"
    assert text.estimate(Estimate(1.5)) == "1.50"


def test_durations_are_said_in_the_unit_that_people_use() -> None:
    assert [text.duration(v) for v in (45.2, 185, 7800)] == ["45 s", "3 min 05 s", "2 h 10 min"]


def test_lists_and_counts_are_said_as_people_say_them() -> None:
    assert [text.listed(words) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert text.counted(1, "machine") == "1 machine"
    assert text.counted(1200, "entry", "entries") == "1,200 entries"


def test_a_command_is_named_as_it_is_typed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(ROOT / ".pixi" / "envs" / "default"))
    monkeypatch.setenv("PIXI_PROJECT_ROOT", str(ROOT))
    assert text.command("fetch") == "pixi run fetch"
    monkeypatch.setattr("sys.prefix", str(ROOT / ".venv"))
    assert text.command("fetch").endswith("tasks/run.py fetch")
    monkeypatch.setattr("sys.prefix", "/usr")
    monkeypatch.delenv("PIXI_PROJECT_ROOT")
    assert text.command("fetch").endswith("tasks/run.py fetch")


@given(st.text())
def test_foreign_text_becomes_one_harmless_line(foreign: str) -> None:
    said = text.line(foreign, 80)
    assert len(said) <= 80
    assert len(said.splitlines()) == 1
    assert "\x1b" not in text.printable(foreign)


def scrubbed(words: str, root: str, home: str, user: str, host: str) -> str:
    kind = PureWindowsPath if "\\" in root else PurePosixPath
    for pattern, word in text.private_patterns(kind(root), kind(home), user, host):  # type: ignore[arg-type]
        words = pattern.sub(word, words)
    return words


def test_folders_user_and_host_are_replaced() -> None:
    words = "reading /home/ada/code/repro/results/x.txt on turing.lab.org for ada; see /home/ada/.cache and /home/bob/y"
    said = scrubbed(words, "/home/ada/code/repro", "/home/ada", "ada", "turing.lab.org")
    assert said == "reading <checkout>/results/x.txt on <host> for <user>; see ~/.cache and /home/<user>/y"


def test_windows_paths_are_replaced_with_either_slash() -> None:
    words = r"C:\Users\ada\repro\results\x.txt and C:/Users/ada/repro/y and C:\Users\bob\z on TURING"
    said = scrubbed(words, r"C:\Users\ada\repro", r"C:\Users\ada", "ada", "TURING")
    assert said == r"<checkout>\results\x.txt and <checkout>/y and C:\Users\<user>\z on <host>"


def test_a_short_name_inside_a_word_stays() -> None:
    assert scrubbed("the adaptive step of ad", "/x/y", "/home/ad", "ad", "vm") == "the adaptive step of ad"
    assert scrubbed("adaptive, ada-like", "/x/y", "/home/ada", "ada", "host") == "adaptive, ada-like"


def test_the_checkout_of_this_machine_is_replaced() -> None:
    assert text.scrub(f"see {ROOT / 'results'}") == f"see {Path('<checkout>/results')}"


def test_a_machine_that_cannot_name_its_user_is_scrubbed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise ModuleNotFoundError("No module named 'pwd'")

    monkeypatch.setattr("getpass.getuser", refuse)
    text._replacements.cache_clear()
    assert text.scrub("/home/someone/x") == "/home/<user>/x"
    text._replacements.cache_clear()
