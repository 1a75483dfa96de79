"""The page and the Markdown: well formed, self-contained, safe, and what the first screen says."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.errors import StoreError
from repro.explain.find import find
from repro.model import Reason, Status, Verdict
from repro.report import charts, curve_sections, markdown, report, sections
from repro.report.first import First, first_screen
from repro.report.material import Section
from repro.report.report import compose
from repro.report.text import explain_lines
from repro.results import tables as tables_files
from repro.results.columns import Row, write_reasons
from repro.results.tables import Tables
from support import report_tables as made_up
from support.report_tables import Case

HOSTILE = "<img src=x onerror=alert(1)>|`*_[x](http://e.example) @nobody #1\n</script>&amp;\x1b[31m\u202e\x07"
KINDS = {
    "quick": made_up.made(cases=made_up.QUICK, blocks=2),
    "full": made_up.made(
        pairs=made_up.PAIRS[1:],
        cases=made_up.MAIN + made_up.ORDERS + made_up.MORE,
        releases=made_up.RELEASES,
        unavailable="no executable of elastix 5.3.0 here",
    ),
    "three": made_up.made(machines=made_up.MACHINES, blocks=6),
    "compare": made_up.compared(),
    "empty": Tables([]),
}


@functools.cache
def composed(kind: str) -> report.Report:
    return compose(KINDS[kind])


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: report.page(composed(name)) for name in KINDS}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are tested elsewhere; they take most of the time."""
    monkeypatch.setattr(charts, "_svg", lambda name, *_: f"<svg>{name}</svg>")


class Page(HTMLParser):
    """A page as a reader's program finds it."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_well_formed_and_needs_nothing_else(pages: dict[str, str], kind: str) -> None:
    content = pages[kind]
    parsed = Page(content)
    assert parsed.open == []
    ids = [str(attributes["id"]) for _, attributes in parsed.tags if "id" in attributes]
    assert [name for name, number in Counter(ids).items() if number > 1] == []
    assert {str(a["href"]).removeprefix("#") for a in parsed.named("a")} <= set(ids)
    for _, attributes in parsed.tags:
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(ids)
    assert not parsed.named("script", "img", "iframe", "object", "form")
    assert [a["href"] for a in parsed.named("link")] == ["data:,"]
    policy = next(a["content"] for a in parsed.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy or "").startswith("default-src 'none'")
    assert "http://" not in content
    assert "https://" not in content
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", content)
    assert len(content) < 1_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_can_be_heard(pages: dict[str, str], kind: str) -> None:
    parsed = Page(pages[kind])
    assert [len(parsed.named(tag)) for tag in ("main", "header", "footer", "h1")] == [1] * 4
    assert parsed.tags[0][1] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in parsed.named("svg"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in parsed.named("th"))
    assert len(parsed.named("caption")) == len(parsed.named("table"))


def screen(tables: Tables) -> First:
    return first_screen(tables, find(tables))


def measured(made: report.Report) -> list[Section]:
    return [one for one in made.sections if not one.command]


def missing(made: report.Report) -> set[str]:
    return {one.name for one in made.sections if one.command}


def test_the_first_screen_says_how_much_why_and_what_to_type() -> None:
    first = composed("full").first
    assert first.title == (
        "With 28 threads the API is 3.3 to 10 times slower than the executable; with SetNumberOfThreads the two are "
        "about equal."
    )
    assert [row[0].text for row in first.table.rows] == list(made_up.PAIRS[1:])
    assert [cell.tone for cell in first.table.rows[0][1:]] == ["slower", "slower", "no difference"]
    assert "NumberOfThreads in the parameter map is not read" in first.why
    assert "448 work units" in first.why
    assert any("SetNumberOfThreads(2)" in line for line in first.code)
    assert first.steps[0][0] == "as posted"
    assert first.steps[-1][0] == "SetNumberOfThreads"
    assert "0.25.0-5.3.0" in first.table.note


def test_the_quick_look_says_what_it_is_and_calls_nothing_slower() -> None:
    first = composed("quick").first
    assert "slower" not in first.title
    assert "quick look" in first.note
    assert "bench-all" in first.note
    assert {cell.tone for row in first.table.rows for cell in row[1:]} == {"cannot tell"}
    assert first.code
    assert first.title.startswith("With 28 threads the API takes 3.2 to 10 times the executable's time")


def test_a_comparison_of_builds_has_a_first_screen_of_its_own() -> None:
    first = composed("compare").first
    assert first.title == "Against api 0.25.3, api 0.25.4 is faster in 1 and no different in 1 of 2 conditions."
    assert first.table.heads == ("condition", "api 0.25.3 (s)", "api 0.25.4 (s)", "ratio")
    assert [row[-1].tone for row in first.table.rows] == ["faster", "no difference"]


def test_builds_against_themselves_come_after_what_was_asked() -> None:
    floor, asked = made_up.compared(other="api:0.25.3"), made_up.compared()
    first = screen(dataclasses.replace(asked, rows=[*floor.rows, *asked.rows]))
    assert first.title.startswith("Against api 0.25.3, api 0.25.4 is faster")
    assert [row[0].text.split()[-1] for row in first.table.rows] == ["api:0.25.4"] * 2 + ["api:0.25.3"] * 2


def failed(row: Row) -> Row:
    why = write_reasons([(Reason.TRIALS_FAILED, (2, 2, "the worker died"))])
    return dataclasses.replace(row, status=Status.FAILED, reason=why, ratio=None, ratio_low=None, ratio_high=None)


def test_where_all_failed_the_first_screen_says_what_and_why() -> None:
    made = made_up.compared()
    tables = dataclasses.replace(made, rows=[failed(row) for row in made.rows])
    first = screen(tables)
    assert first.title == "No condition has a ratio."
    assert [row[-1].text for row in first.table.rows] == ["failed", "failed"]
    assert first.warnings[0] == "as-posted-28: 2 of 2 trials failed: the worker died"
    assert not first.do
    assert "told-28: 2 of 2 trials failed: the worker died\n\n" in compose(tables).markdown


def test_a_failed_condition_stands_below_those_with_a_ratio() -> None:
    made = made_up.compared()
    first = screen(dataclasses.replace(made, rows=[failed(made.rows[0]), *made.rows[1:]]))
    assert first.title == "Against api 0.25.3, api 0.25.4 is no different in 1 of 1 condition."
    assert [row[0].text for row in first.table.rows] == ["told-28", "as-posted-28"]
    assert first.table.rows[1][-1].text == "failed"


def test_of_several_machines_the_first_screen_says_which_row_is_of_which() -> None:
    made = made_up.compared()
    other = [dataclasses.replace(row, machine="another-machine") for row in made.rows]
    first = screen(dataclasses.replace(made, rows=[*made.rows, *other]))
    assert first.table.heads[0] == "machine"
    assert [row[0].text for row in first.table.rows] == [f"M2 {made.rows[0].machine}"] * 2 + ["M1 another-machine"] * 2
    assert first.steps[-1][0] == "told-28, M1"


def test_few_blocks_have_a_range_and_no_interval() -> None:
    assert screen(made_up.compared(blocks=3)).table.caption.endswith("the range of its blocks")


def test_one_block_is_one_block() -> None:
    assert "1 block of fresh processes" in screen(made_up.compared(blocks=1)).where


def test_a_quick_look_says_once_that_there_is_no_verdict() -> None:
    for text in (composed("quick").markdown, "\n".join(explain_lines(KINDS["quick"], "report.html"))):
        assert text.count("verdict") == 1
        assert "cannot tell" not in text


def test_a_command_in_a_sentence_stays_code_in_markdown() -> None:
    assert "`python3 tasks/run.py bench-all`" in composed("quick").markdown
    assert markdown.prose("a `<img>` and `bench --experiment x`") == "a \\`&lt;img&gt;\\` and `bench --experiment x`"


def test_of_the_ways_stands_what_was_measured() -> None:
    quick = curve_sections.ways_table(find(KINDS["quick"]))
    assert "ElastixPool" not in [row[0].text for row in quick.rows]
    assert not [head for head in quick.heads if "many jobs" in head]
    full = curve_sections.ways_table(find(KINDS["full"]))
    assert "many jobs, each (s)" in full.heads
    assert full.note == ""
    short = [dataclasses.replace(case, overrides=made_up.HALF) if case.strategy else case for case in made_up.MORE]
    note = curve_sections.ways_table(find(made_up.made(pairs=made_up.PAIRS[:1], cases=short))).note
    assert note == "Figures of many jobs are of another registration: MaximumNumberOfIterations=50."


def test_one_job_of_the_pool_is_no_point_among_its_many_jobs() -> None:
    pool = Case(
        experiment="paths", condition="pool", other="method:2+Pool", strategy="pool", jobs=1, machine_threads=28
    )
    made = compose(made_up.made(pairs=made_up.PAIRS[:1], cases=[*made_up.MORE, pool]))
    (section,) = (one for one in made.sections if one.name == "many-jobs")
    assert {row[1].text for row in section.tables[0].rows} == {"parallel"}
    assert "many-jobs" in missing(compose(made_up.made(pairs=made_up.PAIRS[:1], cases=[pool])))


def test_it_is_said_who_holds_pythons_lock() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1])
    api = next(one for one in tables.builds if one.build.startswith("api"))
    builds = [
        dataclasses.replace(api, lock_ticks=1, lock_ticks_expected=1996),
        dataclasses.replace(api, build="sitk:3.0.0a1", lock_ticks=1815, lock_ticks_expected=2450),
    ]
    (section,) = (one for one in measured(compose(Tables(tables.rows, [], builds))) if one.name == "inspected")
    assert section.sentence == (
        "Python's lock during a registration: itk-elastix holds it (1 of 1,996 ticks) and SimpleITK releases it "
        "(1,815 of 2,450)."
    )


def test_several_machines_are_one_row_a_pair_with_the_reach_and_the_verdicts() -> None:
    first = composed("three").first
    assert len(first.table.rows) == 3
    assert re.fullmatch(r"[\d.]+ to [\d.]+\xd7", first.table.rows[0][1].text)
    assert first.table.rows[0][1].small == "slower on 3 machines"
    assert first.where.startswith("3 machines")


def test_verdicts_that_differ_between_machines_are_counted() -> None:
    tables = KINDS["three"]
    rows = [
        dataclasses.replace(row, verdict=Verdict.NO_DIFFERENCE, ratio=1.0, floor_low=0.1, floor_high=99.0)
        if (row.machine, row.experiment) == (made_up.MACHINES[0], "posted-28")
        else row
        for row in tables.rows
    ]
    first = screen(dataclasses.replace(tables, rows=rows))
    assert first.table.rows[0][1].small == "slower on 2, no difference on 1"
    assert "slower in 6 of 9 cases" in first.title


def test_without_a_slowdown_nothing_is_to_be_done() -> None:
    first = screen(made_up.made(pairs=made_up.PAIRS[:1], scale=0.05))
    assert first.do == "Nothing: the API was not slower here."
    assert (first.why, first.code) == ("", ())


def test_a_quick_look_without_a_slowdown_advises_nothing() -> None:
    first = screen(made_up.made(pairs=made_up.PAIRS[:1], cases=made_up.QUICK, blocks=2, scale=0.05))
    assert first.do == "Nothing: the API was not slower here."


def test_the_cure_that_failed_here_is_not_advised_without_saying_so() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1])
    reason = write_reasons([(Reason.TRIALS_FAILED, (8, 8, "ended by SIGSEGV"))])
    rows = [
        dataclasses.replace(row, status=Status.FAILED, ratio=None, interval=None, verdict=None, reason=reason)
        if row.condition == "threads"
        else row
        for row in tables.rows
    ]
    first = screen(dataclasses.replace(tables, rows=rows))
    assert "failed here (ended by SIGSEGV)" in first.do
    assert first.table.rows[0][3].text == "failed"


def test_results_that_differ_for_no_reason_are_warned_of() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1])
    rows = [dataclasses.replace(row, status=Status.DIFFERENT) for row in tables.rows]
    (warning,) = screen(dataclasses.replace(tables, rows=rows)).warnings
    assert "did the same work and gave different results" in warning


def test_a_ratio_stands_with_its_verdict_wherever_it_stands(pages: dict[str, str]) -> None:
    made = composed("full")
    for section in measured(made):
        for table in section.tables:
            if "ratio" in table.heads:
                assert "verdict" in table.heads
            if "measured" in table.heads:
                where = table.heads.index("measured")
                assert all(row[where].small or row[where].text == "\N{EN DASH}" for row in table.rows)
    for text in [made.markdown, *explain_lines(KINDS["full"], "report.html")]:
        for found in re.findall(r"\d \[[\d., ]+\](.{1,20})", text):
            assert re.match(r" (slower|faster|no difference)|,? ?\(|\*| times", found), found


def test_a_metric_without_histograms_gets_no_word_of_bins() -> None:
    cases = [case for case in made_up.MAIN if case.condition != "bins"]
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=cases)
    said = "\n".join([*explain_lines(tables, "report.html"), compose(tables).markdown])
    assert "bins" not in said
    assert "histogram" not in said


def test_questions_without_data_are_one_list_with_their_commands(pages: dict[str, str]) -> None:
    assert missing(composed("quick")) >= {"causes", "jacobian", "releases", "many-jobs", "three-d"}
    words = re.sub("<[^>]+>", "", pages["quick"])
    assert "--experiment transforms" in words
    assert "bench --experiment releases" in words


def test_every_question_that_was_measured_has_a_chart_a_sentence_and_a_table() -> None:
    found = measured(composed("full"))
    names = {one.name for one in found}
    assert names >= {
        *("posted", "causes", "threader", "memory", "threads", "jacobian", "untold", "scaling", "releases", "ways"),
        *("many-jobs", "inspected", "reported", "trust", "machines"),
    }
    for one in found:
        assert one.sentence, one.name
        assert one.tables, one.name
        assert one.chart or one.name == "machines", one.name


def test_experiments_of_the_users_own_have_a_section() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=[Case(experiment="mine", condition="c")])
    assert "Experiment mine" in [one.title for one in measured(compose(tables))]


def test_machines_stand_beside_each_other_under_short_names(pages: dict[str, str]) -> None:
    words = re.sub("<[^>]+>", " ", pages["three"])
    assert all(f"M{n}" in words for n in (1, 2, 3))
    assert all(machine in words for machine in made_up.MACHINES)


# ---- what comes from files


@pytest.mark.usefixtures("undrawn")
def test_names_from_files_are_only_ever_text() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1])
    names = ("machine", "comparison", "cpu", "platform", "transform", "reason", "other_threader", "condition")

    def hostile(row: Any) -> Any:
        its = {name: value for name in names if (value := getattr(row, name, None))}
        return dataclasses.replace(row, **{name: f"{value}{HOSTILE}" for name, value in its.items()})

    dirty = Tables([*map(hostile, tables.rows)], [*map(hostile, tables.trials)], [*map(hostile, tables.builds)])
    made = compose(dirty)
    content = report.page(made)
    parsed = Page(content)
    assert not parsed.named("img", "script")
    assert "<img src=x" in "".join(parsed.texts)
    for text in (content, made.markdown, "\n".join(explain_lines(dirty, "report.html"))):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "<img" not in made.markdown
    assert not re.search(r"(?<!\\)\]\(", made.markdown)
    assert "@nobody" not in made.markdown


def test_names_in_charts_are_text_too() -> None:
    svg = charts.rows("x", HOSTILE, [charts.Line(HOSTILE, (charts.Mark(2.0),))], charts.RATIO)
    assert not Page(svg).named("img", "script")


ODD_CELLS: dict[str, Any] = {
    "ratio": st.sampled_from([0.0, 1e-320, 1e308, -1.0]),
    "ratio_low": st.none() | st.just(1e308),
    "interval": st.sampled_from(["", "x", None]),
    "verdict": st.none() | st.sampled_from(Verdict),
    "base_median_s": st.sampled_from([None, 0.0, -1.0, 1e308]),
    "other_median_s": st.sampled_from([None, 0.0, 1e-320]),
    "other_asked": st.sampled_from([None, "", "x", "method:x", "parameter:", "+", "default+Pool", HOSTILE]),
    "base_asked": st.sampled_from([None, "default", "option:", "9" * 40]),
    "overrides": st.sampled_from([None, "", "=", "; ", "a=b=c; d"]),
    "other": st.sampled_from([None, "", ":", "api", "api:x y"]),
    "comparison": st.sampled_from(["", " ", "a b", HOSTILE]),
    "experiment": st.sampled_from(["", "causes", "scaling", "releases", "paths", "work-units", HOSTILE]),
    "condition": st.sampled_from(["", "units-1", "bspline", HOSTILE]),
    "reason": st.sampled_from([None, "(", "; ; ", "drift(", "trials_failed"]),
    "jobs": st.sampled_from([None, 0, -1, 10**12]),
    "registrations": st.sampled_from([None, 0]),
    "strategy": st.sampled_from([None, "pool", "x"]),
    "other_work_units": st.sampled_from([None, 0, -5, 10**15]),
    "machine_threads": st.sampled_from([None, 0, 28]),
    "size_px": st.sampled_from([None, "", "x"]),
    "between_sd": st.sampled_from([None, 0.0, 1e308]),
    "blocks": st.sampled_from([None, 0]),
}


@pytest.mark.usefixtures("undrawn")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_no_cell_can_break_it(draw: st.DataObject) -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=SMALL, blocks=2)
    cells = draw.draw(st.fixed_dictionaries({}, optional=ODD_CELLS))
    which = draw.draw(st.lists(st.integers(0, len(tables.rows) - 1), min_size=1, max_size=8))
    rows = [dataclasses.replace(row, **cells) if n in which else row for n, row in enumerate(tables.rows)]
    odd = dataclasses.replace(tables, rows=rows)
    assert Page(report.page(compose(odd))).open == []
    assert len(explain_lines(odd, "report.html")) <= 40


SMALL = [*made_up.MAIN, *made_up.MORE]


# ---- files


def test_the_same_tables_give_the_same_bytes_and_survive_their_files(tmp_path: Path) -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=made_up.QUICK, blocks=6)
    tables_files.write(tables, tmp_path)
    read = tables_files.read(tmp_path)
    first, second = (report.write(tmp_path / name, read) for name in ("a", "b"))
    assert first.html.read_bytes() == second.html.read_bytes()
    assert first.markdown.read_bytes() == second.markdown.read_bytes()
    assert compose(read).first.title == compose(tables).first.title


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(tmp_path, KINDS["quick"])
    before = (tmp_path / "report.html").read_bytes()

    def full(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left on device"):
        report.write(tmp_path, KINDS["full"])
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.md"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_markdown_can_be_posted(kind: str) -> None:
    text = composed(kind).markdown
    assert text.startswith("**")
    assert len(text.splitlines()) <= (40 if kind == "compare" else 60)
    lines = itertools.groupby(text.split("\n"), lambda line: line[:1] == "|")
    for block in [list(its) for table, its in lines if table]:
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in block} == {len(re.findall(r"\|", block[1]))}


@given(st.text())
def test_markdown_cells_stay_cells(text: str) -> None:
    escaped = markdown.cell(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escaped)
    assert "<" not in escaped


def test_the_lines_to_copy_keep_their_form() -> None:
    first = composed("full").first
    compile("\n".join(first.code), "do this", "exec")
    assert "\n".join(first.code) in composed("full").markdown


@pytest.mark.parametrize("kind", KINDS)
def test_explain_says_the_same_as_the_first_screen_in_few_lines(kind: str) -> None:
    lines = explain_lines(KINDS[kind], "report.html")
    first = composed(kind).first
    said = " ".join(" ".join(lines).split())
    assert first.title in said
    assert len(lines) <= 40
    assert all(line in said for line in (" ".join(code.split()) for code in first.code))
    for row in first.table.rows:
        assert row[0].text in said


@pytest.mark.usefixtures("undrawn")
def test_many_machines_pairs_and_conditions_are_not_too_many() -> None:
    machines = [f"linux-64-epyc-{n}c-{n:08x}" for n in range(20)]
    cases = [*made_up.MAIN, *made_up.ORDERS, *(Case(experiment=f"own{n // 9}", condition=f"c{n}") for n in range(36))]
    tables = made_up.made(machines=machines, pairs=(*made_up.PAIRS, "0.22.0-5.2.0"), cases=cases, blocks=1, rounds=1)
    made = compose(tables)
    assert len(report.page(made)) < 1_000_000
    assert len(made.markdown.splitlines()) <= 60
    assert len(explain_lines(tables, "report.html")) <= 40


@pytest.mark.usefixtures("undrawn")
def test_sections_that_hold_no_rows_are_all_missing() -> None:
    assert missing(composed("empty")) >= {one.name for one in sections.QUESTIONS}
