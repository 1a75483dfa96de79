"""Transforms against transformix: tests/elastix/data/transforms holds files with random numbers.

displacements.txt is a part of what transformix 5.3.1 (``-def all``) made of them, single
precision; 5.2.0 gave the same numbers.
"""

import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.elastix import transforms
from repro.elastix.transforms import UnknownTransformError
from repro.errors import ConfigError

CASES = Path(__file__).parent / "data" / "transforms"
TRANSLATION = """(Transform "TranslationTransform")
(NumberOfParameters 2)
(TransformParameters {} {})
(Size 12 10)
(Index 0 0)
(Spacing 1.5 0.5)
(Origin 7 -2)
(Direction 0.6 0.8 -0.8 0.6)
"""


def case(name: str) -> list[Path]:
    return sorted((CASES / name).glob("TransformParameters.*.txt"))


def write(folder: Path, text: str, name: str = "TransformParameters.0.txt") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return [folder / name]


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_displacements_are_those_of_transformix(name: str) -> None:
    chain = transforms.read_chain(case(name))
    number, *expected = np.loadtxt(CASES / name / "displacements.txt").T
    displacement = chain.displacement(chain.grid.points())[:, number.astype(int)]
    np.testing.assert_allclose(displacement, expected, rtol=0, atol=1e-6)


def test_outside_of_its_grid_a_bspline_moves_nothing() -> None:
    chain = transforms.read_chain(case("bspline-order3-2d"))
    still = (chain.displacement(chain.grid.points()) == 0).all(axis=0)
    assert 0.1 < still.mean() < 0.9


def test_difference_is_in_pixels_of_the_fixed_image(tmp_path: Path) -> None:
    # 3 and 4 steps along the image's axes, in physical units.
    x, y = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.array([3 * 1.5, 4 * 0.5])
    a = transforms.read_chain(write(tmp_path / "a", TRANSLATION.format(1, 1)))
    b = transforms.read_chain(write(tmp_path / "b", TRANSLATION.format(1 + x, 1 + y)))
    assert transforms.difference_px(a, b) == pytest.approx((5.0, 5.0), rel=1e-12)


def test_mean_and_maximum_differ_where_the_transforms_turn() -> None:
    a, b = (transforms.read_chain(case(name)) for name in ("euler-2d", "affine-2d"))
    mean, maximum = transforms.difference_px(a, b)
    assert 0 < mean < maximum
    assert transforms.difference_px(b, a) == pytest.approx((mean, maximum), rel=1e-12)


def test_the_same_numbers_are_exactly_no_pixel_apart(tmp_path: Path) -> None:
    files = case("rigid-affine-bspline-compose-3d")
    copies = [Path(shutil.copy(file, tmp_path / f"{i}.txt")) for i, file in enumerate(files)]
    a, b = transforms.read_chain(files), transforms.read_chain(copies)
    assert transforms.difference_px(a, b) == (0.0, 0.0)
    assert a.digest == transforms.result_digest(copies)


@pytest.mark.parametrize(
    "other",
    ["Size 12 11", "Index 0 1", "Spacing 1.5 0.6", "Origin 7 -3", "Direction 1 0 0 1"],
)
def test_images_of_different_geometry_are_not_compared(tmp_path: Path, other: str) -> None:
    text = TRANSLATION.format(1, 1)
    changed = "".join(f"({other})\n" if line[1:4] == other[:3] else line for line in text.splitlines(keepends=True))
    a, b = (transforms.read_chain(write(tmp_path / name, body)) for name, body in (("a", text), ("b", changed)))
    with pytest.raises(ConfigError, match="different geometry"):
        transforms.difference_px(a, b)


def test_digits_of_the_geometry_do_not_matter(tmp_path: Path) -> None:
    written = TRANSLATION.replace("0.6", "0.6000000001").replace("(Origin 7 -2)", "(Origin 7.0000000001 -2.0)")
    a = transforms.read_chain(write(tmp_path / "a", TRANSLATION.format(1, 1)))
    b = transforms.read_chain(write(tmp_path / "b", written.format(1, 1)))
    assert transforms.difference_px(a, b) == pytest.approx((0, 0), abs=1e-6)


def test_digest_is_of_numbers_and_geometry_only(tmp_path: Path) -> None:
    text = TRANSLATION.format("1", "-0.0")
    digest = transforms.result_digest(write(tmp_path, text))
    same = text.replace("-0.0", "0").replace("(Spacing 1.5 0.5)", "(Spacing 1.50 5e-1)")
    more = same + '(InitialTransformParameterFileName "NoInitialTransform")\n(ResultImageFormat "nii")\n'
    assert transforms.result_digest(write(tmp_path, more)) == digest
    assert transforms.result_digest(write(tmp_path, text.replace("-0.0", "1e-9"))) != digest
    assert transforms.result_digest(write(tmp_path, text.replace("Origin 7", "Origin 8"))) != digest
    assert transforms.result_digest(write(tmp_path, text) * 2) != digest


def test_a_transform_that_cannot_be_evaluated_has_a_digest_but_is_never_compared(tmp_path: Path) -> None:
    files = write(tmp_path, TRANSLATION.format(1, 1).replace("TranslationTransform", "SplineKernelTransform"))
    assert len(transforms.result_digest(files)) == 32
    with pytest.raises(UnknownTransformError, match="'SplineKernelTransform' cannot be evaluated here; known: BSpline"):
        transforms.read_chain(files)


def test_an_affine_log_transform_is_its_matrix_exponential() -> None:
    # A real result of 0.25.4, with the matrix that elastix wrote beside it.
    (chain,) = (transforms.read_chain(case("affine-log-2d")),)
    (_, linear), *_ = chain.transforms
    assert isinstance(linear, transforms.Linear)
    expected = [[1.0026840662868846, 0.0024452189191451405], [-0.007113411687448283, 0.9974069646201308]]
    np.testing.assert_allclose(linear.matrix, np.array(expected).T, atol=1e-12)


def test_rotated_axes_that_only_one_path_heeds_are_not_compared(tmp_path: Path) -> None:
    text = TRANSLATION + '(UseDirectionCosines "false")\n'
    a, b, c = (transforms.read_chain(write(tmp_path / str(i), text.format(x, 1))) for i, x in enumerate((1, 2, 1)))
    with pytest.raises(UnknownTransformError, match="UseDirectionCosines"):
        transforms.difference_px(a, b)
    assert transforms.difference_px(a, c) == (0.0, 0.0)
    straight = text.replace("0.6 0.8 -0.8 0.6", "1 0 0 1")
    a, b = (transforms.read_chain(write(tmp_path / f"s{x}", straight.format(x, 1))) for x in (1, 4))
    assert transforms.difference_px(a, b) == pytest.approx((2, 2))


def test_a_toml_transform_is_the_same_result(tmp_path: Path) -> None:
    classic = write(tmp_path, TRANSLATION.format(1.5, 1))
    lines = [
        *('Transform = "TranslationTransform"', "NumberOfParameters = 2", "TransformParameters = [1.5, 1]"),
        *("Size = [12, 10]", "Index = [0, 0]", "Spacing = [1.5, 0.5]", "Origin = [7, -2]"),
        "Direction = [0.6, 0.8, -0.8, 0.6]",
    ]
    toml = write(tmp_path, "\n".join(lines), "TransformParameters.0.toml")
    assert transforms.result_digest(toml) == transforms.result_digest(classic)


def test_an_initial_transform_goes_first(tmp_path: Path) -> None:
    first = TRANSLATION + '(InitialTransformParameterFileName "start.txt")\n'
    files = [
        *write(tmp_path, TRANSLATION.format(3, 0), "start.txt"),
        *write(tmp_path, first.format(1, 1)),
    ]
    with pytest.raises(UnknownTransformError, match="names another transform; give that file first"):
        transforms.read_chain(files[1:])
    moved = transforms.read_chain(files).displacement(np.zeros((2, 1)))
    assert moved.ravel().tolist() == [4, 1]


def test_a_large_image_is_compared_on_a_lattice_with_its_corners() -> None:
    sizes = ((512, 512), (513, 512), (100_000, 1), (300, 512, 512), (9_999_999_999, 9_999_999_999))
    for size in sizes:
        dimension = len(size)
        zeros, ones, eye = np.zeros(dimension), np.ones(dimension), np.eye(dimension)
        points = transforms.Grid(size, zeros, ones, zeros, eye).points()
        assert transforms.MAX_POINTS / 2 ** (dimension + 1) < points.shape[1] <= transforms.MAX_POINTS or size[1] == 1
        assert (points.min(axis=1) == 0).all()
        assert (points.max(axis=1) == np.array(size) - 1).all()
    assert transforms.MAX_POINTS == 512 * 512  # so that the posted images are compared at every point


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "(NumberOfParameters 2)",
            "(NumberOfParameters 512)",
            "2 values in TransformParameters, NumberOfParameters says",
        ),
        ("(NumberOfParameters 2)", "", "NumberOfParameters must hold 1"),
        ("(Size 12 10)", "", "Size must hold 2 or 3 whole numbers"),
        ("(Size 12 10)", "(Size 12 10 8 2)", "Size must hold 2 or 3 whole numbers"),
        ("(Size 12 10)", "(Size 12 0)", "Size must hold 2 or 3 whole numbers"),
        ("(Size 12 10)", "(Size 12 10 1)", "Direction must hold 9 finite numbers"),
        ("(Spacing 1.5 0.5)", "(Spacing 1.5 0)", "Spacing must be above 0"),
        ("(Direction 0.6 0.8 -0.8 0.6)", "(Direction 1 1 1 1)", "Direction have an inverse"),
        ("(Origin 7 -2)", "(Origin 7 x)", "Origin must hold numbers"),
        ("(Origin 7 -2)", "(Origin 7 nan)", "Origin must hold 2 finite numbers"),
        ("(Origin 7 -2)", "", "Origin must hold 2 finite numbers, it has 0"),
        ("(TransformParameters 1 1)", "(TransformParameters 1 inf)", "TransformParameters must hold 2 finite"),
        ('"TranslationTransform"', '"AffineTransform"', "TransformParameters must hold 6 finite"),
        ("(Index 0 0)", '(HowToCombineTransforms "Multiply")', "HowToCombineTransforms is 'Multiply'; known"),
        ("(Index 0 0)", '(InitialTransformParameterFileName "a.txt")', "names another transform; give that"),
        ("(Index 0 0)", '(InitialTransformParametersFileName "a.txt")', "names another transform; give that"),
        ('(Transform "TranslationTransform")', "", "parameter 'Transform' is missing"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = TRANSLATION.format(1, 1)
    assert old in text
    with pytest.raises(ConfigError, match=problem) as caught:
        transforms.read_chain(write(tmp_path, text.replace(old, new)))
    assert "TransformParameters.0.txt: " in str(caught.value)


def test_a_chain_has_one_dimension_and_at_least_one_file() -> None:
    with pytest.raises(ConfigError, match="has another dimension than"):
        transforms.read_chain(case("affine-2d") + case("affine-3d"))
    with pytest.raises(ConfigError, match="no transform files"):
        transforms.read_chain([])


def test_numbers_too_large_to_compare_are_refused(tmp_path: Path) -> None:
    a = transforms.read_chain(write(tmp_path / "a", TRANSLATION.format("1e308", "0")))
    b = transforms.read_chain(write(tmp_path / "b", TRANSLATION.format("-1e308", "0")))
    with pytest.raises(ConfigError, match="too large to compare"):
        transforms.difference_px(a, b)


def check(texts: list[str]) -> None:
    """Any files give a chain that can be compared with another, or a ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        files = [write(Path(folder), text, f"{i}.txt")[0] for i, text in enumerate(texts)]
        try:
            chain = transforms.read_chain(files)
            other = transforms.Chain(chain.grid, chain.transforms[:-1], chain.turned, "other", "other")
            mean, maximum = transforms.difference_px(chain, other)
        except ConfigError:
            return
        assert 0 <= mean <= maximum * (1 + 1e-9) < math.inf
        assert transforms.difference_px(chain, chain) == (0.0, 0.0)
        assert transforms.result_digest(files) == chain.digest


_VALUES = st.lists(
    st.sampled_from(["0", "1", "-1", "2", "3", "1e308", "-1e308", "1e-320", "nan", "inf", "99999999999", "0.5", '"x"'])
    | st.floats().map(repr),
    max_size=9,
)


@st.composite
def spoilt_files(draw: st.DrawFn) -> list[str]:
    """The files of a case with some lines replaced, left out or given new values."""
    name = draw(st.sampled_from(sorted(path.name for path in CASES.iterdir())))
    texts = []
    for file in case(name):
        lines = file.read_text(encoding="utf-8").splitlines()
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(lines) - 1))
            key, *old = lines[at].strip("()").split(" ")
            new = draw(_VALUES | st.just([]))
            keep = draw(st.booleans())
            # Either all values are new, or a few of the old ones.
            values = [*new, *old[len(new) :]] if keep else new
            lines[at] = f"({key} {' '.join(values)})"
        texts.append("\n".join(lines))
    return texts


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(spoilt_files())
def test_any_files_give_a_chain_or_a_clear_error(texts: list[str]) -> None:
    check(texts)
