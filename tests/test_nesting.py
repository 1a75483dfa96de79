"""Lines that nest too deep are found before a parser that would crash on them sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.results.nesting import DEEPEST, deep_lines


def nested(depth: int, brackets: bytes = b"[]") -> bytes:
    return brackets[:1] * depth + brackets[1:] * depth


@pytest.mark.parametrize("brackets", [b"[]", b"{}"])
def test_the_deepest_that_is_read(brackets: bytes) -> None:
    assert deep_lines(nested(DEEPEST, brackets)) == []
    assert deep_lines(nested(DEEPEST + 1, brackets)) == [0]


def test_only_the_deep_lines_are_named() -> None:
    wide = b"[" + b"[]," * 500 + b"[]]"
    text = json.dumps({"note": "[{" * 500 + '\\"' + "[" * 500}).encode()
    lines = [wide, nested(5_000), b"", text, nested(200, b"{}"), b"[" * 300]
    assert deep_lines(b"\n".join(lines)) == [1, 4, 5]
    assert deep_lines(b"\n".join(lines) + b"\n") == [1, 4, 5]
    assert deep_lines(b"") == []


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


JSON = st.recursive(
    st.none() | st.text('[]{}"\\\\', max_size=6) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\\\', max_size=2), inner, max_size=2),
)


@given(st.lists(JSON, max_size=6), st.integers(1, 4))
def test_the_depth_is_that_of_the_parsed_line(values: list[Any], deepest: int) -> None:
    content = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repro.results.nesting.DEEPEST", deepest)
        assert deep_lines(content) == [i for i, value in enumerate(values) if depth_of(value) > deepest]
