from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from repro.layout import ROOT
from repro.scrub import _patterns, clean_logs, scrub


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


def test_logs_are_scrubbed_at_the_end_whatever_happens_and_kept_short(tmp_path: Path) -> None:
    logs = tmp_path / "pair" / "logs"
    logs.mkdir(parents=True)
    (logs / "left.log").write_text(f"cannot open {Path.home()}/x\n")
    (logs / "long.log").write_text("x" * 3_000_000 + "last words")
    (logs / "fine.log").write_text("nothing of note")
    with pytest.raises(KeyError), clean_logs(tmp_path):
        raise KeyError
    assert (logs / "left.log").read_text() == "cannot open ~/x\n"
    assert (logs / "long.log").read_text().endswith("xxlast words")
    assert (logs / "long.log").stat().st_size == 1 << 20
    assert (logs / "fine.log").read_text() == "nothing of note"
