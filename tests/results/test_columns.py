from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.model import Reason, Settings
from repro.results.columns import DOCUMENT, asked, document, read_asked, read_reasons, write_reasons


def test_docs_columns_is_made_from_the_code() -> None:
    """Run `python -m repro.results.columns` after a change."""
    assert Path(DOCUMENT).read_text(encoding="utf-8") == document()


@pytest.mark.parametrize(
    ("settings", "threads", "text"),
    [
        (Settings(2, "option"), 2, "option:2"),
        (Settings("cores", "parameter"), 2, "parameter:2"),
        (Settings(1, "method", "Pool"), 1, "method:1+Pool"),
        (Settings("default", threader="TBB"), None, "default+TBB"),
        (Settings("cores", "method"), None, "method:cores"),
    ],
)
def test_settings_are_read_back_as_they_came_out(settings: Settings, threads: int | None, text: str) -> None:
    assert asked(settings, threads) == text
    read = read_asked(text)
    assert asked(read, None) == text
    assert (read.by, read.threader) == (settings.by, settings.threader)


@given(
    st.lists(
        st.tuples(st.sampled_from(Reason), st.lists(st.text(min_size=1) | st.integers() | st.floats(), max_size=3))
    )
)
def test_reasons_are_read_back_whatever_their_figures(reasons: list[tuple[Reason, list[object]]]) -> None:
    text = write_reasons([(reason, tuple(figures)) for reason, figures in reasons])
    assert [reason for reason, _ in read_reasons(text)] == [reason for reason, _ in reasons]


def test_reasons_of_another_version_are_left_out() -> None:
    assert read_reasons("drift(0.01); later_invention(3); outliers(2)") == [
        (Reason.DRIFT, ("0.01",)),
        (Reason.OUTLIERS, ("2",)),
    ]
    assert read_reasons(None) == []
