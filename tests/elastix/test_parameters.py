"""Parameter files: what elastix takes, what it refuses, and what we refuse on top."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.elastix import parameters
from repro.errors import ConfigError
from repro.paths import PARAMETER_FILES

GOOD = b"""// a comment, in any encoding: \xe9
(Transform "BSplineTransform") // and after a parameter
(FixedImageDimension 2)\r
\t(GridSpacingSchedule 4.0  2.0\t1e-1)
(Title "two words" bare)
(Empty "")
"""


def test_values_are_read_as_elastix_splits_them() -> None:
    file = parameters.parse(GOOD)
    assert dict(file.values) == {
        "Transform": ("BSplineTransform",),
        "FixedImageDimension": ("2",),
        "GridSpacingSchedule": ("4.0", "2.0", "1e-1"),
        "Title": ("two words", "bare"),
        "Empty": (),
    }
    assert file.first("Transform") == "BSplineTransform"
    assert file.dimension == 2


def test_text_quotes_what_is_no_number() -> None:
    assert parameters.parse(GOOD).text() == (
        '(Transform "BSplineTransform")\n'
        "(FixedImageDimension 2)\n"
        "(GridSpacingSchedule 4.0 2.0 1e-1)\n"
        '(Title "two words" "bare")\n'
        '(Empty "")\n'
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Transform", "is not of the form"),
        ("(Transform", "is not of the form"),
        ('(Title "a // b")', "is not of the form"),  # elastix ends the line at // even in quotes
        ("\ufeff(Transform 1)", "is not of the form"),
        ("(Transform)", "has a name without a value"),
        ("(Transform )", "has a name without a value"),
        ('(Transform"x")', "has a name without a value"),
        ("()", "has no name"),
        ("( Transform 1)", "has no name"),
        ('("Transform" 1)', "has no name"),
        ('(Transform "x)', "has a quote without its partner"),
        ("(Trans.form 1)", "which elastix refuses"),
        ("((Transform 1))", "which elastix refuses"),
        ("(A 1)(B 2)", "has a parenthesis inside"),
        ("(A \x00)", "not UTF-8 text"),
        ("(First 2)", "was given in line 1 already"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(line: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        parameters.parse(f"(First 1)\n{line}\n".encode(), "some.txt")
    assert str(caught.value).startswith("some.txt, line 2: ")


def test_a_value_in_another_encoding_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x\.txt, line 1: holds characters that are not UTF-8 text"):
        parameters.parse(b'(Title "\xe9")', "x.txt")


def test_messages_stay_short() -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.parse(b"(" + b"x" * 100_000)
    assert len(str(caught.value)) < 200


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path, Path("a\0b")):
        with pytest.raises(ConfigError, match="cannot be read"):
            parameters.read(path)


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "MAX_BYTES", 10)
    path = tmp_path / "huge.txt"
    path.write_text("(Name 123456)", encoding="utf-8")
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        parameters.read(path)


def test_dimension_may_be_left_to_the_image() -> None:
    assert parameters.parse(b"(Transform 1)").dimension is None


@pytest.mark.parametrize("value", ["1", "two", "2.0", '""', "99999999999"])
def test_dimension_must_be_one(value: str) -> None:
    with pytest.raises(ConfigError, match="FixedImageDimension"):
        _ = parameters.parse(f"(FixedImageDimension {value})".encode()).dimension


def test_a_missing_transform_is_named() -> None:
    with pytest.raises(ConfigError, match=r"x\.txt: parameter 'Transform' is missing"):
        parameters.parse(b"(A 1)", "x.txt").first("Transform")


def test_override_replaces_in_place_and_adds_at_the_end() -> None:
    file = parameters.parse(b"(Bins 128)\n(Write 1)\n")
    changed = parameters.override(file, [("Bins", "32 64"), ("Seed", "7"), ("Write", '"true"'), ("Seed", "8")])
    assert changed.text() == '(Bins 32 64)\n(Write "true")\n(Seed 8)\n'
    assert file.text() == "(Bins 128)\n(Write 1)\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("Bins", ""), ("Bins", "1) (B 2"), ("Bins", '"'), ("", "1"), ("A B", "1"), ("Bins", "1\n"), ("Bins", "a//b")],
)
def test_override_refuses_what_is_not_one_parameter(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"override '{name}' of params.txt"):
        parameters.override(parameters.parse(b"(Bins 128)", "params.txt"), [(name, value)])


def test_without_leaves_parameters_out() -> None:
    file = parameters.parse(b"(A 1)\n(B 2)\n", "x.txt")
    assert parameters.without(file, ["A", "C"]) == parameters.parse(b"(B 2)")
    assert parameters.without(file, ["A"]).source == "x.txt"


TOML = b"""
Transform = "BSplineTransform"  # and a comment
FixedImageDimension = 2
UseDirectionCosines = true
ErodeMask = false
GridSpacingSchedule = [4.0, 2, 1e-1]
Title = ["two words", "bare"]
"""


def test_a_toml_file_says_the_same_as_a_classic_one(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(TOML)
    file = parameters.read(tmp_path / "p.toml")
    assert dict(file.values) == {
        "Transform": ("BSplineTransform",),
        "FixedImageDimension": ("2",),
        "UseDirectionCosines": ("true",),
        "ErodeMask": ("false",),
        "GridSpacingSchedule": ("4.0", "2", "0.1"),
        "Title": ("two words", "bare"),
    }
    assert parameters.parse(file.text().encode()) == file


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"(Transform 1)", "is not valid TOML"),
        (b"A = 1\nA = 2", "is not valid TOML"),
        (b"\xff = 1", "is not valid TOML"),
        (b"A = []", "A has no value"),
        (b"A = {B = 1}", "A: .* is neither a number"),
        (b"A = [[1]]", "A: .* is neither a number"),
        (b"A = 2020-01-01", "A: .* is neither a number"),
        (b"A = 'x\"y'", "A: .* is neither a number"),
        (b"[A]\nB = 1", "A: .* is neither a number"),
    ],
)
def test_a_toml_file_that_cannot_be_used_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"p\.toml: {problem}"):
        parameters.parse_toml(text, "p.toml")


def test_our_own_files_are_what_their_comments_say() -> None:
    files = {path.stem: parameters.read(path) for path in PARAMETER_FILES.glob("*.txt")}
    posted = files["posted-bspline"]

    def changed(name: str, origin: parameters.ParameterFile = posted) -> dict[str, tuple[str, ...]]:
        return {key: value for key, value in files[name].values.items() if origin.values.get(key) != value}

    assert changed("recursive-bspline") == {"Transform": ("RecursiveBSplineTransform",)}
    small = {"NumberOfResolutions": ("2",), "MaximumNumberOfIterations": ("20",)}
    assert changed("small-bspline") == small
    assert changed("small-affine", files["affine"]) == small
    assert changed("rigid", files["affine"]) == {"Transform": ("EulerTransform",)}
    assert {name for name, file in files.items() if file.dimension != 2} == {"affine-3d"}
    assert posted.values["NumberOfHistogramBins"] == ("128",)
    assert files["affine"].values["NumberOfHistogramBins"] == ("32",)


def check(data: bytes) -> None:
    """Any bytes give parameters that survive writing and reading, or a ConfigError."""
    try:
        file = parameters.parse(data)
    except ConfigError:
        return
    again = parameters.parse(file.text().encode())
    assert again == file
    assert again.text() == file.text()


def check_toml(data: bytes) -> None:
    """Any bytes give parameters that survive writing and reading, or a ConfigError."""
    try:
        file = parameters.parse_toml(data)
    except ConfigError:
        return
    file.text()


_PIECES = st.sampled_from(
    [b"(", b")", b'"', b"//", b" ", b"\t", b"\n", b"\r\n", b"Name", b"1.5", b"-", b"\xff", b"\xed\xa0\x80"]
)


@given(st.binary() | st.lists(_PIECES | st.binary(max_size=3), max_size=40).map(b"".join))
def test_any_bytes_give_parameters_or_a_clear_error(data: bytes) -> None:
    check(data)


@given(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,9}", fullmatch=True),
    st.lists(
        st.text(st.characters(exclude_categories=["C"], exclude_characters='"/'), min_size=1), min_size=1, max_size=4
    ),
)
def test_any_parameter_survives_writing_and_reading(name: str, values: list[str]) -> None:
    quoted = " ".join(f'"{value}"' for value in values)
    file = parameters.parse(f"({name} {quoted})".encode())
    assert file.values[name] == tuple(values)
    assert parameters.parse(file.text().encode()) == file
