from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.results import packnames
from repro.results.packnames import Names, Scrubber

NAMES = Names(frozenset({"nkiaru"}), frozenset({"turing", "turing.lab.example"}), frozenset({"/data/kiaru lab/repro"}))
SCRUBBER = Scrubber(NAMES)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("elastix runs at: vm\n  Linux 6.18", "elastix runs at: <host>\n  Linux 6.18"),
        ("-f /home/nkiaru/images/fixed.tif -threads 2", "-f <home>/fixed.tif -threads 2"),
        (r"File C:\Users\Nico Kiaru\pairs\x.py, line 3", "File <home>/x.py, line 3"),
        (r'File "C:\\Users\\nico\\x.py"', r'File "<home>\\x.py"'),
        ("/Users/ada/Library", "<home>/Library"),
        ("/root/secret/x", "<home>/x"),
        ("/scratch/lab of kiaru/patient 7/fixed.tif", "<folder>/fixed.tif"),
        ("in /opt/x/site-packages/itk/support/base.py", "in <folder>/site-packages/itk/support/base.py"),
        (r"D:\measurements\secret project\a.tif", "<folder>/a.tif"),
        ("\\\\fileserver\\share\\secret\\a.tif", "<host>\\share\\secret\\a.tif"),
        ("/data/kiaru lab/repro/results/raw", "<folder>/results/raw"),
        ("file:///home/nkiaru/a", "file:<home>/a"),
        ("from https://me:token@mirror.example/a", "from https://mirror.example/a"),
        ("mail ada.l@uni.example now", "mail <address> now"),
        ("nkiaru@turing:~$ elastix", "<address>:~$ elastix"),
        ("on TURING.lab.example, as NKIARU", "on <host>, as <user>"),
        ("turing-complete", "<host>-complete"),
    ],
)
def test_names_are_taken_out(text: str, cleaned: str) -> None:
    assert SCRUBBER.text(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "12 registrations/min at 1/2 load",
        "/usr/lib/x86_64-linux-gnu/libc.so.6: no such file",
        "https://github.com/SuperElastix/elastix/releases",
        "touring and turings",
        '(Transform "BSplineTransform")\n(TransformParameters 1.0 -2.5e-07)',
        "<home>/x <folder>/y elastix runs at: <host>",
        "~/repro and <checkout>/src/repro",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert SCRUBBER.text(text) == text


def test_names_are_learned_from_texts() -> None:
    found = packnames.names_in(["elastix runs at: node17.cluster.example", "cd /home/ada/x", r"C:\Users\Nico Kiaru\y"])
    assert {"node17", "node17.cluster.example"} <= found.hosts
    assert {"ada", "Nico Kiaru"} <= found.users
    scrubber = Scrubber(found)
    assert scrubber.text("ada waits for node17") == "<user> waits for <host>"


def test_ordinary_words_and_kept_ones_are_no_names() -> None:
    scrubber = Scrubber(Names(frozenset({"root", "elastix", "epyc", "x"})), keep=["epyc"])
    assert scrubber.text("root ran elastix on epyc, x = 3") == "root ran elastix on epyc, x = 3"
    assert scrubber.left("root ran elastix on epyc") == ""
    assert SCRUBBER.left("so says nkiaru") == "nkiaru"


def test_this_machine_has_names() -> None:
    here = packnames.names_here()
    assert here.users
    assert here.folders
    assert not here.folders & {"/", "/tmp", ""}


@given(st.text(max_size=200))
def test_any_text_can_be_cleaned_and_twice_is_once(text: str) -> None:
    once = SCRUBBER.text(text)
    assert SCRUBBER.left(once) == ""
    assert SCRUBBER.text(once) == once
