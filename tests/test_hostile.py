"""Raw files made hostile on purpose, from the raw lines to the CSV files and the report: no harm, no injection."""

from __future__ import annotations

import csv
import html.parser
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rawdata
from fuzzinputs import odd_json
from repro.cli.cli import app
from repro.errors import StoreError
from repro.model import digest
from repro.report import report
from repro.results.merge import merge

EVIL = '"><img src=x onerror=alert(1)></td><script>alert(2)</script><a href="javascript:alert(3)">x</a>{{ 7 * 7 }}'
FENCE = "\n```\n<img src=x onerror=alert(4)>\n"
FORMULAS = ("=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)", "\uff1d1", "\u202e=1")
TEXTS = (
    "note",
    "cli_source",
    "threader",
    "log_threads",
    "itk",
    "itk_elastix",
    "elastix",
    "python",
    "transform",
    "strategy",
)
ACTIVE = {"img", "script", "iframe", "object", "embed", "form", "base", "input", "video", "audio", "foreignobject"}
Line = dict[str, Any]


class Page(html.parser.HTMLParser):
    """The elements of a page and their attributes that could do something."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.active: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.active += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on") or re.match(r"\s*(javascript|data|vbscript):", value or "", re.IGNORECASE)
        ]


def made(folder: Path, change: Callable[[Line], None], *, rounds: int = 12) -> Path:
    """Raw files of which every line was changed, merged and reported; the results folder."""
    raw = rawdata.write_raw(folder / "raw", rounds=rounds)
    for file in raw.rglob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            change(line)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    merge([raw], folder)
    report.write(folder)
    return folder


def cells(folder: Path) -> list[dict[str, str]]:
    """Every row of both CSV files, which have as many lines as rows."""
    rows: list[dict[str, str]] = []
    for name in ("trials.csv", "comparison.csv"):
        text = (folder / name).read_text()
        found = list(csv.DictReader(text.splitlines()))
        assert text.count("\n") == len(found) + 1
        assert all(None not in row for row in found)
        rows += found
    return rows


def harmless(folder: Path, clean: Path) -> None:
    """Nothing in the CSV files acts, and nothing in the page that a clean one has not."""
    for row in cells(folder):
        for name, cell in row.items():
            assert not re.match(r"\s*[=+@\uff1d\uff0b\uff20]|[\t\r\0]", cell), (name, cell)
            assert not cell.startswith("-") or float(cell) < 0, (name, cell)
    page, before = Page((folder / "report.html").read_text()), Page((clean / "report.html").read_text())
    assert page.elements & ACTIVE == before.elements & ACTIVE
    assert page.active == before.active
    # What stands in a fence is shown as it is, unless it can end the fence.
    markdown = re.sub(r"^(`{3,})\w*$.*?^\1$", "", (folder / "report.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    assert "<img" not in markdown
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\]\(javascript:", markdown)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("clean"), lambda _: None)


def test_texts_of_any_field_stay_texts(tmp_path: Path, clean: Path) -> None:
    each = itertools.cycle((EVIL, FENCE, *FORMULAS))

    def poison(line: Line) -> None:
        evil = next(each)
        for name in TEXTS:
            if name in line:
                line[name] = evil
        line["command"] = [evil, FENCE]
        if line["kind"] == "session":
            line["fingerprint"] = dict.fromkeys(line["fingerprint"], evil) | {evil: evil}
            line["provenance"] = {
                "parts": {"elastix": {evil: evil, "source": evil}, "wheels": {"packages": {evil: evil}}}
            }
            line["experiment"]["question"] = evil
        if line["kind"] == "agreement":
            line["digests"] = [evil, evil]

    folder = made(tmp_path, poison, rounds=3)
    harmless(folder, clean)
    shown = [cell for row in cells(folder) for cell in row.values()]
    assert all(any(evil.strip() in cell for cell in shown) for evil in (EVIL, *FORMULAS))


def test_names_in_paths_and_keys_stay_texts(tmp_path: Path, clean: Path) -> None:
    def poison(line: Line) -> None:
        for name in ("machine", "pair", "condition"):
            if name in line:
                line[name] = f"{line[name]}{EVIL}"
        if line["kind"] == "session":
            conditions = line["experiment"]["conditions"]
            line["experiment"]["conditions"] = {f"{name}{EVIL}": about for name, about in conditions.items()}
            line["experiment"]["name"] += EVIL
        elif "experiment" in line:
            line["experiment"] += EVIL

    harmless(made(tmp_path, poison, rounds=3), clean)


IMPOSSIBLE: tuple[object, ...] = (
    *(1e308, -1e308, 1e-320, -1.0, 0.0, float("nan"), float("inf"), -float("inf"), 10**30, -(2**63), 2**64, "1", True),
    *(None, [], {}, [1.0], "nan"),
)


@pytest.mark.parametrize("numbers", [(1e308,), (1e-320, 1e308), (-1.0, 2.0), (float("nan"), 2.0), IMPOSSIBLE])
def test_numbers_that_cannot_be_break_nothing(tmp_path: Path, clean: Path, numbers: Sequence[object]) -> None:
    each = itertools.cycle(numbers)

    def poison(line: Line) -> None:
        for name, value in line.items():
            if isinstance(value, float) or name in ("peak_bytes", "threads", "work_units"):
                line[name] = next(each)
            elif name in ("resolutions_s", "estimation_s") and value:
                line[name] = [next(each) for _ in value]
        if line.get("load_parts_s"):
            line["load_parts_s"] = {part: next(each) for part in line["load_parts_s"]}
        if line["kind"] == "session":
            line["fingerprint"] |= {name: next(each) for name in ("physical_cores", "logical_cores", "memory_bytes")}

    folder = made(tmp_path, poison)
    harmless(folder, clean)
    for row in cells(folder):
        for name in ("wall_s", "cli_median_s", "api_median_s", "ratio"):
            assert not row.get(name) or 0 < float(row[name]) < float("inf"), name


@pytest.mark.parametrize(
    ("table", "odd"),
    [
        ("fingerprint", {"logical_cores": 10**30}),
        ("fingerprint", {"gpus": [{"memory": -(10**30)}]}),
        ("experiment", {"own_rounds": None}),
        ("experiment", {"own_rounds": [12]}),
        ("experiment", {"conditions": [12]}),
    ],
)
def test_a_session_line_that_cannot_be_is_left_out_with_its_place(tmp_path: Path, table: str, odd: Line) -> None:
    file = next(rawdata.write_raw(tmp_path / "raw", experiments=("posted",), rounds=2).rglob("*.jsonl"))
    session, *lines = map(json.loads, file.read_text().splitlines())
    session[table] |= odd
    file.write_text("".join(json.dumps(line) + "\n" for line in (session, *lines)))
    merged = merge([tmp_path / "raw"], tmp_path)
    assert [re.sub(".*/", "", one) for one in merged.broken] == ["posted.jsonl, line 1: left out: no complete session"]
    assert merged.measurements == sum(line["kind"] == "measurement" for line in lines)


@pytest.mark.parametrize(
    "threads", [10**30, "9" * 5000, "\u00b2", "\u0663", -1], ids=["long", "endless", "raised", "Arabic", "negative"]
)
def test_threads_that_cannot_be_are_unknown(tmp_path: Path, threads: object) -> None:
    folder = tmp_path / "raw"
    file = next(rawdata.write_raw(folder, experiments=("posted",), rounds=2).rglob("*.jsonl"))
    edited = [json.loads(line) for line in file.read_text().splitlines()]
    for line in edited:
        if line["kind"] == "measurement":
            line["log_threads"], line["default_threads"] = threads, None
    file.write_text("".join(json.dumps(line) + "\n" for line in edited))
    merge([folder], tmp_path)
    (row,) = csv.DictReader((tmp_path / "comparison.csv").open(newline=""))
    assert (row["cli_threads"], row["api_threads"]) == ("", "")


def test_wrong_digests_and_other_versions_are_told_apart(tmp_path: Path) -> None:
    """Rows never mix inputs; what another version of elastix said stands in its column."""
    count = iter(range(10**6))

    def poison(line: Line) -> None:
        if line["kind"] == "measurement" and line["phase"] == "measure":
            odd = next(count) % 2
            line["fixed_sha256"] = digest(f"fixed {odd}") * 2
            line["elastix"] = "9.9.9"
            line["result_digest"] = "../../../etc/passwd"

    folder = made(tmp_path, poison)
    rows = [row for row in csv.DictReader((folder / "comparison.csv").open(newline="")) if row["ratio"]]
    assert all(row["fixed_sha256"] in {digest(f"fixed {odd}") * 2 for odd in (0, 1)} for row in rows)


def test_lines_of_another_schema_are_refused_with_their_place(tmp_path: Path) -> None:
    def age(line: Line) -> None:
        line["schema"] = 999

    with pytest.raises(StoreError, match=r"posted\.jsonl, line 1: schema 999.*leave the file out|aa\.jsonl, line 1"):
        made(tmp_path, age)


def test_names_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;title\x07\x1b[2J[/x][bold]\u202e"
    raw = rawdata.write_raw(tmp_path / "raw", machines=("m1", "m2"), rounds=2, experiments=("posted",))
    for file in raw.rglob("*.jsonl"):
        text = file.read_text().replace('"machine": "m', f'"machine": {json.dumps(evil)[:-1]}m')
        file.write_text(text.replace(f'"pair": "{rawdata.PAIRS[0]}', f'"pair": {json.dumps(evil)[:-1]}'))
    for command in (["merge", str(raw), "--out", str(tmp_path)], ["explain", "--out", str(tmp_path)]):
        app(command, standalone_mode=False)
    shown = "".join(capsys.readouterr())
    assert "ratio" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("depth", [300, 900, 5_000, 200_000])
def test_values_nested_deep_break_nothing(tmp_path: Path, depth: int) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=2, experiments=("posted",))
    (file,) = raw.rglob("*.jsonl")
    deep = '{"x": ' * depth + "[" * depth + "1" + "]" * depth + "}" * depth
    lines = [
        line.replace('"note": ""', f'"note": {deep}').replace("{}", deep, 1) for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join([*lines, *file.read_text().splitlines()]) + "\n")
    assert merge([raw], tmp_path).measurements >= 6
    report.write(tmp_path)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of the time."""
    for module in ("plots", "timeplots"):
        monkeypatch.setattr(f"repro.{module}.draw", lambda name, *_: (f"<svg>{name}</svg>", ""))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    raw = rawdata.write_raw(tmp_path_factory.mktemp("seeds"), rounds=2, experiments=("posted",))
    return [file.read_bytes() for file in raw.rglob("*.jsonl")]


@pytest.mark.usefixtures("undrawn")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_odd_lines_end_in_a_report_or_a_clear_error(
    data: st.DataObject, tmp_path: Path, clean: Path, seeds: list[bytes]
) -> None:
    file = tmp_path / "raw" / "m1" / rawdata.PAIRS[0] / "posted.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.draw(odd_json(seeds)))
    try:
        merge([tmp_path / "raw"], tmp_path)
        report.write(tmp_path)
    except StoreError:
        return
    harmless(tmp_path, clean)
