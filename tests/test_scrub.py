from pathlib import Path, PurePosixPath, PureWindowsPath

from repro.layout import ROOT
from repro.scrub import _patterns, scrub


def scrubbed(text: str, root: str, home: str, user: str, host: str) -> str:
    kind = PureWindowsPath if "\\" in root else PurePosixPath
    for pattern, word in _patterns(kind(root), kind(home), user, host):  # type: ignore[arg-type]
        text = pattern.sub(word, text)
    return text


def test_folders_user_and_host_are_replaced() -> None:
    text = "reading /home/ada/code/repro/results/x.txt on turing.lab.org for ada; see /home/ada/.cache and /home/bob/y"
    said = scrubbed(text, "/home/ada/code/repro", "/home/ada", "ada", "turing.lab.org")
    assert said == "reading <checkout>/results/x.txt on <host> for <user>; see ~/.cache and /home/<user>/y"


def test_windows_paths_are_replaced_with_either_slash() -> None:
    text = r"C:\Users\ada\repro\results\x.txt and C:/Users/ada/repro/y and C:\Users\bob\z on TURING"
    said = scrubbed(text, r"C:\Users\ada\repro", r"C:\Users\ada", "ada", "TURING")
    assert said == r"<checkout>\results\x.txt and <checkout>/y and C:\Users\<user>\z on <host>"


def test_a_short_name_inside_a_word_stays() -> None:
    assert scrubbed("the adaptive step of ad", "/x/y", "/home/ad", "ad", "vm") == "the adaptive step of ad"
    assert scrubbed("adaptive, ada-like", "/x/y", "/home/ada", "ada", "host") == "adaptive, ada-like"


def test_the_checkout_of_this_machine_is_replaced() -> None:
    assert scrub(f"see {ROOT / 'results'}") == f"see {Path('<checkout>/results')}"
