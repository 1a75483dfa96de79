from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rawdata
import reportraw
from repro import wording
from repro.errors import StoreError
from repro.explain import measured, rungs, spread
from repro.explain.answers import answers
from repro.report import curvesections, jobsections, report, reportdata, reportmarkdown, svg
from repro.report.lead import lead
from repro.results.columns import COMPARISON, TRIALS
from repro.results.merge import Merged, merge
from repro.wording import UNKNOWN

HOSTILE = "<img src=x onerror=alert(1)>|`*_[x](http://e.example) @nobody #1\n</script>&amp;"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one machine, with the report."""
    folder = reportraw.made(tmp_path_factory.mktemp("one"))
    report.write(folder)
    return folder


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three machines, with the report."""
    folder = reportraw.made(
        tmp_path_factory.mktemp("several"), machines=("m1", "m2", "m3"), experiments=("posted", "posted-28", "causes"),
        rounds=6,
    )  # fmt: skip
    report.write(folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are tested elsewhere; they take most of the time."""
    for module in ("plots", "timeplots"):
        monkeypatch.setattr(f"repro.{module}.draw", lambda name, *_: (f"<svg>{name}</svg>", ""))


class Page(HTMLParser):
    """A page as a reader's program finds it."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tables: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "caption" in self.open:
            self.tables[-1] += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


@pytest.fixture(params=["one", "several"])
def content(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue(request.param)
    return (folder / "report.html").read_text()


def test_the_page_is_well_formed_and_its_anchors_lead_somewhere(content: str) -> None:
    parsed = Page(content)
    assert parsed.open == []
    ids = parsed.ids()
    assert [name for name, number in Counter(ids).items() if number > 1] == []
    links = [str(a["href"]) for a in parsed.named("a")]
    assert len(links) >= 14
    assert {link.removeprefix("#") for link in links} <= set(ids)
    for _, attributes in parsed.tags:
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(ids)


def test_the_page_needs_nothing_else(content: str) -> None:
    parsed = Page(content)
    assert not parsed.named("script", "img", "iframe", "object", "form")
    assert [a["href"] for a in parsed.named("link")] == ["data:,"]
    policy = next(a["content"] for a in parsed.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'")
    assert "http://" not in content
    assert "https://" not in content
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", content)
    assert len(content) < 3_000_000


def test_the_page_can_be_heard(content: str) -> None:
    parsed = Page(content)
    assert [len(parsed.named(tag)) for tag in ("main", "nav", "header", "footer", "h1", "title")][:5] == [1] * 5
    assert parsed.tags[0][1] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(parsed.tables)
    assert len(parsed.named("figure")) == len(re.findall("<details><summary>The same as a table", content))
    for attributes in parsed.named("svg"):
        assert attributes["role"] == "img"
        assert attributes["aria-labelledby"]
    assert all(attributes.get("scope") in ("col", "row") for attributes in parsed.named("th"))
    assert all(
        a.get("aria-label") and a.get("tabindex") == "0" for a in parsed.named("div") if a.get("role") == "region"
    )


def test_the_sections_stand_in_their_order(one: Path, several: Path) -> None:
    def sections(folder: Path) -> list[str]:
        parsed = Page((folder / "report.html").read_text())
        return [str(attributes["id"]) for attributes in parsed.named("section")]

    assert sections(one) == [
        *("answer", "ratios", "causes", "time", "startup", "work-units", "releases", "parallel", "rounds", "agreement"),
        *("machines", "reported", "method", "origins", "advice"),
    ]
    assert [name for name in sections(several) if name not in sections(one)] == ["platforms"]


def test_the_first_screen_says_how_much_why_and_what_to_do(one: Path) -> None:
    data = reportdata.read(one)
    ladders = rungs.ladders(data)
    found = answers(data, ladders)
    assert [answer.pair for answer in found] == [*reportraw.PAIRS, "0.25.0-5.3.0"]
    first = found[0]
    assert [headline.where for headline in first.headlines] == [
        "where ITK sees 28 threads",
        "with the machine's own 2 threads",
    ]
    ratio = next(row for row in data.rows if (row["pair"], row["experiment"]) == (first.pair, "posted-28"))
    assert first.headlines[0].sentence == (
        f"As posted, where ITK sees 28 threads, the API takes {wording.ratio(ratio['ratio'])} times the executable's "
        f"time (95% interval {wording.ratio(ratio['ratio_low'])} to {wording.ratio(ratio['ratio_high'])}; "
        f"noise floor {ratio['floor_low']:.2f} to {ratio['floor_high']:.2f}): slower."
    )
    assert "NumberOfThreads 2 in the parameter map was not honoured" in first.why
    assert "448 work units of the TBB threader" in first.why
    assert first.python[-1] == "registration.SetNumberOfThreads(n)"
    assert first.remedy.startswith("Where ITK sees 28 threads, SetNumberOfThreads")
    assert "no executable of elastix 5.3.0 here" in found[-1].missing
    said = lead(found, ladders)
    assert said.much.startswith("Run as posted, the Python API takes 3.")
    assert said.python == first.python
    content = (one / "report.html").read_text()
    assert content.index("SetNumberOfThreads(n)") < content.index("Every ratio with its interval")


def made_from(folder: Path, **options: Any) -> Path:
    merge([rawdata.write_raw(folder / "raw", **options)], folder)
    return folder


VERDICTS: tuple[str, ...] = ("slower", "faster", "no difference seen", "too few rounds to say")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("machines", [("m1",), ("m1", "m2")])
def test_a_ratio_stands_with_its_verdict_wherever_it_stands(tmp_path: Path, machines: tuple[str, ...]) -> None:
    experiments = ("posted", "posted-28", "aa", "causes", "parallel", "loading", "transforms")
    reportraw.made(tmp_path, machines=machines, pairs=reportraw.PAIRS[:1], experiments=experiments, unavailable=False)
    made = report.compose(reportdata.read(tmp_path))
    seen = set()
    for section in made.sections:
        for table in (*section.tables, *(figure.table for figure in section.figures)):
            if "verdict" in table.heads:
                columns, ends = [table.heads.index("verdict")], VERDICTS
            else:
                ends = tuple(f"({words})" for words in VERDICTS)
                # Posts are quoted as they are: theirs is the first column of that name.
                last = len(table.heads) - 1 - table.heads[::-1].index("API / CLI") if "API / CLI" in table.heads else -1
                columns = [n for n, head in enumerate(table.heads) if n == last or head == "API / CLI time"]
                columns += [*range(2, len(table.heads))] if section.name == "platforms" else []
            for row, n in itertools.product(table.rows, columns):
                assert row[n].text == UNKNOWN or row[n].text.endswith(ends), (table.caption, row)
                seen |= {section.name}
    expected = {"ratios", "causes", "startup", "parallel", "reported"}
    assert seen == expected | ({"platforms"} if len(machines) > 1 else set())
    assert "(slower)" in made.lead.much
    assert made.lead.remedy.endswith("(no difference seen).")


@pytest.mark.usefixtures("undrawn")
def test_a_ratio_of_results_that_disagree_is_marked_wherever_it_stands(tmp_path: Path) -> None:
    made_from(tmp_path, agreement_px=5.0)
    data = reportdata.read(tmp_path)
    row = next(row for row in data.compared if row["experiment"] == "posted")
    assert row["status"] == "disagree"
    assert wording.judged(row).endswith("(slower; results disagree)")
    assert spread.of_rows([row]).judged == wording.judged(row)
    assert spread.of_rows([row, {**row, "status": "ok"}]).disagree
    found = measured.read(tmp_path).ratio((row["machine"], row["pair"]), "posted", row["condition"])
    assert found is not None
    assert measured.said(found) == wording.judged(row)


@pytest.mark.usefixtures("undrawn")
def test_the_lines_to_copy_keep_their_indentation(tmp_path: Path) -> None:
    experiments = ("aa", "parallel-eight")
    reportraw.made(tmp_path, pairs=reportraw.PAIRS[2:], experiments=experiments, unavailable=False)
    (section,) = (one for one in report.compose(reportdata.read(tmp_path)).sections if one.name == "advice")
    assert "ElastixPool" in "".join(section.lines)
    compile("\n".join(section.lines), "advice", "exec")
    report.write(tmp_path)
    assert "\n    future = pool.submit(" in (tmp_path / "report.md").read_text()


@pytest.mark.usefixtures("undrawn")
def test_no_difference_is_worded_so_and_gets_no_cause(tmp_path: Path) -> None:
    made_from(tmp_path, seconds={"cli": 2.0, "api": 2.0})
    (answer,) = answers(reportdata.read(tmp_path), ())
    assert answer.headlines[0].verdict == "no difference seen"
    assert answer.headlines[0].tone == "same"
    assert (answer.why, answer.remedy, answer.python, answer.command) == ("", "", (), "")


@pytest.mark.usefixtures("undrawn")
def test_what_was_not_measured_says_how_to_get_it(tmp_path: Path) -> None:
    report.write(made_from(tmp_path, experiments=("posted",), rounds=3, agreement_px=None))
    content = re.sub("</?span[^>]*>", "", (tmp_path / "report.html").read_text())
    for command in ("--experiment causes", "--experiment scaling", "--experiment parallel", "--experiment versions"):
        assert command in content
    assert "noise floor not measured" in content
    assert "too few rounds to say" in content


@pytest.mark.usefixtures("undrawn")
def test_results_that_differ_for_no_reason_are_warned_of(tmp_path: Path) -> None:
    report.write(made_from(tmp_path, agreement_px=2.0))
    assert report.write(tmp_path).exit_status == 3
    raw = tmp_path / "comparison.csv"
    rows = list(csv.DictReader(raw.open(newline="")))
    for row in rows:
        row["note"] = "the two results are up to 2 px apart"
    rewrite(raw, rows)
    report.write(tmp_path)
    assert "Careful: the two results are up to 2 px apart, and nothing explains it" in (
        (tmp_path / "report.html").read_text()
    )


@pytest.mark.usefixtures("undrawn")
def test_without_raw_files_the_report_says_what_it_lacks(tmp_path: Path, one: Path) -> None:
    for name in ("comparison.csv", "trials.csv"):
        (tmp_path / name).write_bytes((one / name).read_bytes())
    report.write(tmp_path)
    assert "There is no sessions.ndjson beside comparison.csv" in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_the_same_results_give_the_same_bytes(small: Path) -> None:
    written = [[file.read_bytes() for file in (made.html, made.markdown)] for made in map(report.write, (small, small))]
    assert written[0] == written[1]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("seconds", "experiments", "advice"),
    [
        ({"cli": 2.0, "api": 2.0}, ("posted", "aa"), "Nothing: the API was not slower here."),
        (
            {"cli": 2.0, "api": 9.0},
            ("posted", "aa"),
            "was not measured here: pixi run bench 0.21.0-5.2.0 --experiment causes",
        ),
    ],
)
def test_every_lead_says_what_to_do(
    tmp_path: Path, seconds: dict[str, float], experiments: tuple[str, ...], advice: str
) -> None:
    data = reportdata.read(made_from(tmp_path, seconds=seconds, experiments=experiments))
    ladders = rungs.ladders(data)
    assert advice in lead(answers(data, ladders), ladders).remedy


def test_the_releases_are_a_timeline(tmp_path: Path) -> None:
    reportraw.made(
        tmp_path, pairs=reportraw.PAIRS[:1], experiments=("posted",), releases=("0.17.0", "0.19.0"), rounds=3
    )
    data = reportdata.read(tmp_path)
    section = curvesections.releases(data)
    (figure,) = section.figures
    assert [row[0].text for row in figure.table.rows] == ["0.17.0", "0.19.0", "0.21.0"]
    # Of releases without an executable there is no time of one.
    assert [row[-1].text == UNKNOWN for row in figure.table.rows] == [True, True, False]
    assert "with SetNumberOfThreads" in figure.wide
    assert section.paragraphs
    assert [answer.pair for answer in answers(data, ()) if not answer.missing] == [reportraw.PAIRS[0]]


def test_time_is_shown_against_the_work_units_of_both_paths(tmp_path: Path) -> None:
    reportraw.made(tmp_path, pairs=reportraw.PAIRS[:1], experiments=("scaling",), rounds=3)
    data = reportdata.read(tmp_path)
    section = curvesections.work_units(data)
    (figure,) = section.figures
    assert any("by experiment scaling" in words for words in section.paragraphs)
    lines = {row[0].text for row in figure.table.rows}
    assert lines == {f"{reportraw.PAIRS[0]}, API", f"{reportraw.PAIRS[0]}, executable"}
    assert {row[1].text for row in figure.table.rows} >= {"1", "512", "1,024"}


def test_loading_and_the_first_results_are_shown(tmp_path: Path) -> None:
    reportraw.made(tmp_path, pairs=reportraw.PAIRS[:1], experiments=("posted", "loading", "first-result"), rounds=3)
    data = reportdata.read(tmp_path)
    section = jobsections.startup(data)
    assert [figure.name for figure in section.figures] == ["loading-ways", "first-results"]
    ways = {row[2].text: row[4].text for row in section.figures[0].table.rows}
    assert float(ways["posted"]) > 5 * float(ways["recipe"])
    results = {(row[0].text, row[1].text) for row in section.figures[1].table.rows}
    assert {("worker", "1"), ("worker", "10"), ("worker", "100"), ("executables beside it", "100")} <= results
    assert {row[2].text for row in section.tables[0].rows} == {"interpreters", "worker", "recipe", "pool"}
    # Loading is no ratio of registrations.
    assert {row["experiment"] for row in data.compared} == {"posted"}
    assert f'id="{section.figures[0].name}-wide-title"' in report.page(report.compose(data))


def test_jobs_at_once_are_shown_by_strategy(tmp_path: Path) -> None:
    reportraw.made(tmp_path, pairs=reportraw.PAIRS[:1], experiments=("posted", "parallel", "parallel-smoke"), rounds=3)
    data = reportdata.read(tmp_path)
    section = jobsections.throughput(data)
    (figure,) = section.figures
    named = {row[3].text for row in figure.table.rows}
    assert named == {"recipe", "forked", "spawned", "threads"}
    # The smoke test's times mean nothing.
    assert not any("smoke" in row[2].text for row in figure.table.rows)
    rates = {row[4].text: float(row[7].text) for row in figure.table.rows if row[3].text == "recipe"}
    assert rates["2"] > 1.5 * rates["1"]
    assert "executables" in figure.wide
    assert section.paragraphs[1].startswith("The recipe does most at ")


def test_several_machines_stand_beside_each_other(several: Path) -> None:
    parsed = Page((several / "report.html").read_text())
    assert "API / CLI with its interval, machine beside machine" in parsed.tables
    text = " ".join(parsed.texts)
    assert all(f"M{n} (Linux)" in text for n in (1, 2, 3))
    assert "at the median machine" in text


@pytest.mark.usefixtures("undrawn")
def test_names_from_files_are_only_ever_text(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    merge([rawdata.write_raw(tmp_path / "raw")], folder)
    names = ("machine", "pair", "experiment", "condition", "cpu", "os", "itk", "cli_source", "note", "transform")
    for file in (folder / "comparison.csv", folder / "trials.csv"):
        rows = list(csv.DictReader(file.open(newline="")))
        for row in rows:
            row |= {name: f"{row[name]}{HOSTILE}" for name in names if row.get(name)}
        rewrite(file, rows)
    report.write(folder)
    content = (folder / "report.html").read_text()
    parsed = Page(content)
    assert not parsed.named("img", "script")
    assert "<img src=x onerror=alert(1)>" in "".join(parsed.texts)
    markdown = (folder / "report.md").read_text()
    assert "<img" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert "@nobody" not in markdown
    assert not re.search(r"(?<!\\)`\*", markdown)


def rewrite(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


ODD = st.sampled_from(
    ["", "nan", "inf", "-inf", "1e308", "-1e308", "0", "-1", "1e-320", "x", "9" * 40, "\u202e", HOSTILE]
)


@pytest.mark.usefixtures("undrawn")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_no_cell_can_break_it(draw: st.DataObject, tmp_path: Path, small: Path) -> None:
    for name, columns in (("comparison.csv", COMPARISON), ("trials.csv", TRIALS)):
        rows = list(csv.DictReader((small / name).open(newline="")))
        changed = draw.draw(st.dictionaries(st.sampled_from([column.name for column in columns]), ODD, max_size=30))
        which = draw.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
        for n in which:
            rows[n] |= changed
        rewrite(tmp_path / name, rows)
    report.write(tmp_path)
    assert Page((tmp_path / "report.html").read_text()).open == []


@pytest.mark.usefixtures("undrawn")
def test_trials_of_a_machine_without_a_row_do_not_break_it(tmp_path: Path, small: Path) -> None:
    for name, machine in (("comparison.csv", "another"), ("trials.csv", "nobody's")):
        rows = list(csv.DictReader((small / name).open(newline="")))
        rows[0]["machine"] = machine
        rewrite(tmp_path / name, rows)
    report.write(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "another" in page
    assert "nobody" not in page


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_from(tmp_path_factory.mktemp("small"), experiments=("posted", "aa", "causes"), rounds=3)


@given(st.lists(st.sampled_from(["ok", "disagree", "failed", "timeout", "partial", "unavailable"])))
def test_the_exit_status_is_that_of_merge(statuses: list[str]) -> None:
    rows = tuple({"status": status} for status in statuses)
    merged = Merged(files=0, measurements=0, rows=0, duplicates=0, torn=0, broken=(), statuses=Counter(statuses))
    empty = reportdata.Data(rows, pl.DataFrame(), ())
    assert empty.exit_status == merged.exit_status


def test_what_is_missing_is_named(tmp_path: Path, one: Path) -> None:
    with pytest.raises(StoreError, match=r"comparison\.csv is not there; run `python -m repro merge` first"):
        report.write(tmp_path)
    (tmp_path / "comparison.csv").write_text("machine,pair\nm1,p\n")
    with pytest.raises(StoreError, match="has no column"):
        report.write(tmp_path)
    (tmp_path / "comparison.csv").write_bytes((one / "comparison.csv").read_bytes())
    (tmp_path / "trials.csv").write_text("")
    with pytest.raises(StoreError, match=r"trials\.csv: cannot be read"):
        report.write(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_cannot_be_written_leaves_the_old_one(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (one / "report.html").read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="No space left on device"):
        report.write(one)
    monkeypatch.undo()
    assert (one / "report.html").read_bytes() == before
    assert not list(one.glob(".report*"))


@pytest.mark.parametrize("folder", ["one", "several"])
def test_the_markdown_can_be_posted(folder: str, request: pytest.FixtureRequest) -> None:
    markdown = (request.getfixturevalue(folder) / "report.md").read_text()
    assert len(markdown) < 32_000
    assert markdown.startswith("# ")
    blocks = [
        list(lines) for table, lines in itertools.groupby(markdown.split("\n"), lambda line: line[:1] == "|") if table
    ]
    assert len(blocks) >= 4
    for block in blocks:
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in block} == {len(re.findall(r"\|", block[1]))}
    assert "SetNumberOfThreads" in markdown[:2500]


@given(st.text())
def test_markdown_cells_stay_cells(text: str) -> None:
    escaped = reportmarkdown.cell(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escaped)
    assert "<" not in escaped.replace("<br>", "")


def test_pages_have_their_plots(one: Path) -> None:
    content = (one / "report.html").read_text()
    names = ("forest", "ladder", "registration", "loading", "work-units-plot", "releases-plot", "rounds-plot")
    for name, width in itertools.product(names, ("wide", "narrow")):
        assert content.count(f'id="{name}-{width}-title"') == 1
    assert content.count('role="img"') == 2 * len(names)
    assert all(colour not in content for colour in (*svg.SERIES, svg.INK, svg.API))


ODD_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.usefixtures("undrawn")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_no_session_line_can_break_it(draw: st.DataObject, small: Path) -> None:
    data = reportdata.read(small)
    line = dict(next(one for one in data.sessions if one["experiment"]["name"] == "causes"))
    for place in draw.draw(st.lists(st.sampled_from(ODD_PLACES), min_size=1, max_size=4)):
        line = put(line, place.split("/"), draw.draw(ODD_JSON))
    made = report.compose(reportdata.Data(data.rows, data.trials, (line,)))
    assert Page(report.page(made)).open == []


ODD_PLACES = (
    *("started_utc", "command", "pair", "machine", "provenance", "provenance/parts/elastix", "fingerprint"),
    *("provenance/parts/elastix/files", "provenance/parts/elastix/files/elastix", "provenance/given"),
    *("fingerprint/memory_bytes", "fingerprint/governor", "fingerprint/load_1m", "fingerprint/environment_removed"),
    *("fingerprint/python_options", "fingerprint/usable_cores", "fingerprint/swap_used_bytes", "fingerprint/cpu"),
    *("experiment", "experiment/name", "experiment/conditions", "experiment/conditions/equal-threads"),
    *("experiment/conditions/equal-threads/api", "experiment/conditions/posted/overrides", "provenance/parts/wheels"),
    *("experiment/conditions/machine-28/api/threads", "experiment/conditions/machine-28/parameter_files"),
)


def put(value: Any, path: list[str], odd: Any) -> Any:
    """The mapping with something odd at the end of the path."""
    if not path:
        return odd
    inner = value if isinstance(value, dict) else {}
    return {**inner, path[0]: put(inner.get(path[0]), path[1:], odd)}
