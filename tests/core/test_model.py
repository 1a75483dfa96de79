import dataclasses
import json
import random

import pytest

from repro.model import (
    AgreementLine,
    Build,
    Line,
    Measurement,
    UnavailableLine,
    condition_key,
    read_line,
    write_line,
)
from support import raw_lines


def every_kind() -> list[Line]:
    """One line of each kind at least."""

    session = raw_lines.session_line("m1", raw_lines.PAIRS[0], "posted")
    lines: list[Line] = [session, UnavailableLine(session="s", comparison="c", reason="none for this platform")]
    for experiment in ("posted-28", "parallel"):
        spec = raw_lines.EXPERIMENTS[experiment][0]
        lines += raw_lines.condition_lines("m1", raw_lines.PAIRS[0], experiment, spec, random.Random(0), 1, 1)
    return [*lines, raw_lines.inspection("m1", "id", raw_lines.build("api", "0.25.4"))]


@pytest.mark.parametrize("line", every_kind(), ids=lambda line: line.kind)
def test_a_line_is_read_back_as_it_was_written(line: Line) -> None:
    text = write_line(line)
    assert "\n" not in text
    assert read_line(text) == line


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"kind": "other"}', '{"kind": "measurement"}', "[" * 10_000])
def test_what_is_no_line_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        read_line(text)


def test_a_line_with_more_fields_than_this_version_knows_is_read() -> None:
    line = AgreementLine(session="s", key="k", life="l", block=1, round=1, digests=("a", "b"), max_px=0.1)
    assert read_line(json.dumps(dataclasses.asdict(line) | {"later": 1})) == line


def test_no_line_holds_a_number_that_json_has_not() -> None:
    one = next(line for line in every_kind() if isinstance(line, Measurement))
    with pytest.raises(ValueError):
        write_line(dataclasses.replace(one, wall_s=float("nan")))


def test_an_own_build_is_named_with_its_digest_and_a_release_without() -> None:
    release = Build("api", "0.25.4", "0123456789abcdef" * 2)
    assert release.name == "api:0.25.4"
    assert dataclasses.replace(release, own=True, version="0.25.5.dev3").name == "api:0.25.5.dev3+01234567"


def test_a_key_depends_on_builds_settings_and_inputs() -> None:
    pair = raw_lines.comparison("0.25.4-5.3.1")
    spec = raw_lines.EXPERIMENTS["posted"][0]
    base = raw_lines.condition(spec, pair)
    inputs = raw_lines.inputs(base)
    other_build = dataclasses.replace(pair, base=raw_lines.build("cli", "5.3.1", "linked to another ITK"))
    others = [
        (raw_lines.condition(spec, other_build), inputs),
        (raw_lines.condition(dataclasses.replace(spec, other=raw_lines.CURED), pair), inputs),
        (base, dataclasses.replace(inputs, fixed_sha256="0" * 64)),
    ]
    keys = {condition_key(*one) for one in [(base, inputs), *others]}
    assert len(keys) == 4
    assert condition_key(base, inputs) == condition_key(raw_lines.condition(spec, pair), raw_lines.inputs(base))
