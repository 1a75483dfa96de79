"""Logs of real runs (tests/elastix/data/logs: our own, tables and warnings cut), and of no run at all.

Left out of the cut logs: warnings, iterations after the second, parameters, places and dates.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.elastix import output

LOGS = Path(__file__).parent / "data" / "logs"

UNKNOWN_TRANSFORM = (
    "Error: NoSuchTransform(index 1) - This component is not installed!",
    "ERROR: error occurred while creating Transform 0.",
    "Description: ITK ERROR: ElastixMain({}): The following component could not be created: NoSuchTransform",
    "ERROR: One or more components could not be created.",
)


def facts(
    elastix: str | None = None,
    itk: str | None = None,
    threads: str | None = None,
    resolutions_s: tuple[float, ...] = (),
    estimation_s: tuple[float, ...] = (),
    final_metric: float | None = None,
) -> dict[str, Any]:
    return {
        "resolutions_s": resolutions_s,
        "estimation_s": estimation_s,
        "final_metric": final_metric,
        "log_threads": threads,
        "said": {name: value for name, value in (("elastix", elastix), ("itk", itk)) if value},
    }


EXPECTED = {
    "cli-5.0.1-in-a-row": facts(
        elastix="5.0.1",
        threads="2",
        resolutions_s=(0.185, 0.180, 0.137, 0.133),
        estimation_s=(0.16, 0.16, 0.08, 0.08),
        final_metric=-0.611578,
    ),
    "cli-5.2.0": facts(
        elastix="5.2.0",
        itk="5.4.0",
        threads="2",
        resolutions_s=(0.344, 0.294, 0.234, 0.166, 0.152, 0.156),
        estimation_s=(0.23, 0.17, 0.12, 0.05, 0.03, 0.03),
        final_metric=-0.650934,
    ),
    "cli-5.3.1": facts(
        elastix="5.3.1",
        itk="5.4.5",
        threads="28",
        resolutions_s=(0.399, 0.329, 0.27, 0.193, 0.186, 0.184),
        estimation_s=(0.25, 0.18, 0.13, 0.05, 0.03, 0.03),
        final_metric=-0.652804,
    ),
    "api-0.21.0-as-posted": facts(
        elastix="5.2.0",
        threads="unspecified",
        resolutions_s=(3.54, 3.27, 2.88, 2.55, 2.5, 2.65),
        estimation_s=(1.06, 0.88, 0.48, 0.19, 0.13, 0.12),
        final_metric=-0.642529,
    ),
    "api-0.25.4-in-a-row": facts(
        elastix="5.3.1",
        threads="2",
        resolutions_s=(0.069, 0.0622, 0.0681, 0.0685),
        estimation_s=(0.06, 0.06, 0.04, 0.04),
        final_metric=-0.626494,
    ),
    "cli-5.3.1-missing-image": facts(
        elastix="5.3.1",
        itk="5.4.5",
    ),
    "cli-5.3.1-wrong-dimension": facts(
        elastix="5.3.1",
        itk="5.4.5",
    ),
    "cli-5.2.0-unknown-transform": facts(
        elastix="5.2.0",
        itk="5.4.0",
    ),
    "api-0.25.4-unknown-transform": facts(),
}


ERRORS = {
    "cli-5.3.1-missing-image": [
        "ERROR: could not read moving image.",
        "Description: Could not create IO object for reading file /nonexistent.tif "
        "The file doesn't exist. Filename = /nonexistent.tif",
    ],
    "cli-5.3.1-wrong-dimension": [
        "ERROR: problem defining fixed image dimension. The parameter file says: 3 The fixed image header says: 2 "
        'Note that from elastix 4.6 the parameter file definition "FixedImageDimension" is not needed anymore. '
        "Please remove this entry from your parameter file.",
    ],
    "cli-5.2.0-unknown-transform": [error.format("0x5555940141e0") for error in UNKNOWN_TRANSFORM],
    "api-0.25.4-unknown-transform": [error.format("0x5653e1230820") for error in UNKNOWN_TRANSFORM],
}


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


def test_every_log_is_expected() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_facts_of_real_logs(name: str) -> None:
    assert output.parse_log(log(name)) == EXPECTED[name]
    assert output.parse_log(log(name).replace("\n", "\r\n")) == EXPECTED[name]
    assert output.parse_errors(log(name)) == ERRORS.get(name, [])


@given(st.integers(min_value=0))
def test_a_truncated_log_gives_what_it_holds(length: int) -> None:
    text = log("cli-5.3.1")
    length %= len(text) + 1
    found, whole = output.parse_log(text[:length]), EXPECTED["cli-5.3.1"]
    # A number may be cut, so the last one is left out.
    assert found["resolutions_s"][:-1] == whole["resolutions_s"][: max(0, len(found["resolutions_s"]) - 1)]
    assert len(found["resolutions_s"]) == text[:length].count("iterating): 0")
    assert output.parse_errors(text[:length]) == []
    assert (found["final_metric"] is not None) == ("Final metric value  = -0" in text[:length])


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0.12s", 0.12), ("1m2.50s", 62.5), ("2h0m1.00s", 7201.0), ("1d0h0m0.25s", 86400.25)],
)
def test_estimation_may_take_more_than_a_minute(written: str, seconds: float) -> None:
    assert output.parse_log(f"Automatic parameter estimation took {written}\n")["estimation_s"] == (seconds,)


def test_a_time_may_follow_an_open_progress_line() -> None:
    line = "Progress: 0%Time spent in resolution 0 (ITK initialization and iterating): 1.2e+03 s."
    assert output.parse_log(line)["resolutions_s"] == (1200.0,)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", ""])
def test_a_metric_that_is_no_number_is_not_known(value: str) -> None:
    assert output.parse_log(f"Final metric value  = {value}")["final_metric"] is None


def test_errors_are_kept_once_and_bounded() -> None:
    assert output.parse_errors("ERROR: a\n\nERROR: a\nERROR:\nb\n") == ["ERROR: a", "ERROR: b"]
    many = output.parse_errors("".join(f"ERROR: {i} {'x' * 1000}\n" for i in range(100)))
    assert len(many) == output.MAX_ERRORS
    assert {len(error) for error in many} == {output.MAX_ERROR_LENGTH}


def check(text: str) -> None:
    """Any text gives facts within their bounds."""
    found = output.parse_log(text)
    assert all(0 <= seconds < float("inf") for seconds in found["estimation_s"])
    assert all(abs(seconds) < float("inf") for seconds in found["resolutions_s"])
    assert found["final_metric"] is None or abs(found["final_metric"]) < float("inf")
    assert all(0 < len(error) <= output.MAX_ERROR_LENGTH for error in output.parse_errors(text))
    threads = found["log_threads"]
    assert threads is None or threads == "unspecified" or threads.isdecimal()


_PIECES = st.sampled_from(
    [
        "Time spent in resolution 0 (ITK initialization and iterating): ",
        "Automatic parameter estimation took ",
        "Final metric value  = ",
        "-threads  ",
        "elastix version: ",
        "  ITK version: ",
        "ERROR: ",
        "Description: ",
        "\n",
        " ",
        "9" * 40,
        "1m",
        "-1e-9",
        "s",
        "٣",
    ]
)


@given(st.lists(_PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_any_text_gives_facts(text: str) -> None:
    check(text)


def test_a_folder_without_a_log_says_nothing(tmp_path: Path) -> None:
    assert output.parse_log(output.read_log(tmp_path)) == facts()
    assert output.parse_errors(output.read_log(tmp_path)) == []
