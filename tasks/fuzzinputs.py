"""Input for parsers: real input that is damaged, reworded or made odd, and hostile pieces to put in."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Inputs = st.SearchStrategy[bytes]
TEXTS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *("", "\n", '"', "'", "\\", "\x00", "\x1b[2J", "\u202e", "\ud800", "\r\n", "=1+1", "<script>", "../", "..\\"),
        *("nan", "-inf", "1e308", "-1e308", "1e999", "-1", "0", "true", "null", "9" * 30, "9" * 5000, "0x1f", "1.5"),
        *("[" * 3000, "{" * 3000, '{"a":' * 3000, "(" * 50, "#", "//", "=", ",", ":", "[x]", "[[x]]", "a.b.c = 1"),
        *("x" * 3000, " " * 3000, "2026-11-25", "2026-11-25T08:00:00Z", "99999-99-99"),
    )
)
BYTES = (b"", b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"PK\5\6", b"PK\6\7", b"PK\1\2", b"../../x")
_WORD = re.compile(rb"[^\s()\[\]{}\"',=:;#]+")
ODD: Sequence[Any] = (
    *(None, True, 0, -1, 10**30, -(10**30), 1e308, -1e308, float("nan"), float("inf"), 1e-320, "", "x", [], {}, [[]]),
    *("=1+1", "@SUM(A1)", "\t=1", "<img src=x onerror=alert(1)>", "\x1b[2J", "\u202e", "\x00", "../../x", "x" * 2000),
    *([None], [1e308, -1.0], {"x": None}, {"": {"": []}}, "NaN", "1e308", [["a"]], 2**63, 2**64, "2", 2, 1.5),
)


def damaged(seeds: Sequence[bytes], pieces: Sequence[bytes] = (*TEXTS, *BYTES)) -> Inputs:
    """Real input with pieces cut out, doubled, exchanged or put in; and sometimes what is no such input at all."""
    # Places in the tuple in place of the pieces: some are long, and hypothesis would spell them all out.
    which = st.integers(0, len(pieces))
    edit = st.tuples(st.integers(0, (1 << 20) - 1), st.sampled_from((0, 0, 1, 2, 7, 40, 1000)), which)

    def edited(number: int, edits: Sequence[tuple[int, int, int]], end: bytes) -> bytes:
        content = (*seeds, b"")[number // 8]
        for place, length, which in edits:
            at = place % (len(content) + 1)
            cut = content[at : at + length]
            content = content[:at] + (pieces[which] if which < len(pieces) else cut * 2) + content[at + length :]
        return content + end

    return st.builds(
        edited, st.integers(0, 8 * len(seeds)), st.lists(edit, max_size=5), st.just(b"") | st.binary(max_size=99)
    )


def reworded(seeds: Sequence[bytes]) -> Inputs:
    """Real text in which whole words and numbers are exchanged, for odd ones or for each other.

    What is around them stays, so that most of it is still of the form that the parser wants.
    """
    words = [[match.span() for match in _WORD.finditer(content)] for content in seeds]
    edit = st.tuples(*[st.integers(0, (1 << 16) - 1)] * 2, st.integers(0, 2 * len(TEXTS)))

    def exchanged(number: int, edits: Sequence[tuple[int, int, int]]) -> bytes:
        content, spans = seeds[number], words[number]
        new = {}
        for place, other, which in edits:
            start, end = spans[other % len(spans)]
            new[place % len(spans)] = TEXTS[which] if which < len(TEXTS) else content[start:end]
        for place in sorted(new, reverse=True):
            start, end = spans[place]
            content = content[:start] + new[place] + content[end:]
        return content

    return st.builds(exchanged, st.integers(0, len(seeds) - 1), st.lists(edit, min_size=1, max_size=4))


def texts(seeds: Sequence[bytes]) -> Inputs:
    """Real text, reworded or damaged."""
    return reworded(seeds) | damaged(seeds)


@st.composite
def odd_json(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """JSON lines in which values of any depth are exchanged for odd ones."""
    lines = [json.loads(line) for line in draw(st.sampled_from(seeds)).splitlines()]
    for _ in range(draw(st.integers(1, 6))):
        inside: Any = draw(st.sampled_from(lines))
        while True:
            key = draw(st.sampled_from(list(inside) if isinstance(inside, dict) else range(len(inside))))
            if not isinstance(inside[key], dict | list) or not inside[key] or draw(st.booleans()):
                break
            inside = inside[key]
        inside[key] = copy.deepcopy(draw(st.sampled_from(ODD)))  # a later round may change what is inside of it
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
