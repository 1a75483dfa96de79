"""Loading and the way to the first results: real processes, with a made-up itk and a made-up executable."""

from __future__ import annotations

import ctypes
import dataclasses
import mmap
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

import parts
from repro.builds.installed import Installed
from repro.errors import TrialError
from repro.explain import explain, startup
from repro.explain.measured import Measured, Row
from repro.measure import batcharms, loadarms
from repro.measure.arms import Facts, Limits
from repro.model import Condition, LoadBy, Loading, Path_, Settings, Trial
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared
from repro.results import firstresults
from repro.system import filecache
from repro.system.children import Launcher

ITK = f"""
import pathlib, sys
class Any:
    F = 1
    Image = {{(1, 2): str}}
    def __getattr__(self, name): return self
    def __getitem__(self, key): return self
    def __call__(self, *args): return self
    def __int__(self): return 1
    def GetITKVersion(self): return "5.4"
    def GetNumberOfDimensions(self): return 2
    def GetNumberOfParameterMaps(self): return 0
    def SetOutputDirectory(self, folder): self.folder = pathlib.Path(folder)
    def UpdateLargestPossibleRegion(self):
        (self.folder / "TransformParameters.0.txt").write_text({parts.TRANSFORM.format(1)!r})
        (self.folder / "elastix.log").write_text("")
"""
EXECUTABLE = f"""#!{sys.executable} -IS
import pathlib, sys
print("elastix version: 2")
if "-out" in sys.argv:
    out = pathlib.Path(sys.argv[sys.argv.index("-out") + 1])
    (out / "TransformParameters.0.txt").write_text({parts.TRANSFORM.format(1)!r})
    (out / "elastix.log").write_text("")
"""
CONDITION = Condition("one", ("a.txt",), "posted", Settings(1, "option"), Settings(1, "method"))
LIMITS = Limits(60)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """A pair whose itk and executable are small scripts."""
    site = tmp_path / "pair" / "site-packages"
    parts.wheels(site, {"itk-core": "5.4", "itk-elastix": "1"})
    (site / "itk").mkdir()
    (site / "itk" / "any.py").write_text(ITK)
    (site / "itk" / "__init__.py").write_text(
        "import sys\nfrom itk.any import Any\nit = Any()\n"
        "sys.modules[__name__].__dict__.update(F=1, Image={(1, 2): str}, imread=it, ElastixRegistrationMethod=it,\n"
        "    ParameterObject=it, Version=it, MultiThreaderBase=it)\n"
    )
    for name in ("elxParameterObject", "itkElastixRegistrationMethod", "itkImageFileReader"):
        module = "from itk.any import Any\ndef __getattr__(name):\n    return Any()\n"
        (site / "itk" / f"{name}Python.py").write_text(module)
    program = parts.program(tmp_path / "pair" / "elastix" / "bin" / "elastix", EXECUTABLE)
    return Installed(parts.pair("1", "2"), tmp_path / "pair", site, "cp311", (str(program),), {}, "given", "lock", {})


def prepared(tmp_path: Path, condition: Condition) -> Prepared:
    """The condition with images that only have to be there."""
    for name in ("fixed", "moving"):
        (tmp_path / name).write_bytes(b"an image")
    images = ImageSet("posted", tmp_path / "fixed", tmp_path / "moving", "f" * 64, "e" * 64, "")
    return Prepared(condition, images, ("(Transform ...)\n",), "TranslationTransform", 2)


def trial(path: Path_, *, warm_up: bool = False) -> Trial:
    return Trial("1-2", "loading", "one", 0, path, "warmup" if warm_up else "measure", 1, 0)


def folder(tmp_path: Path) -> Path:
    place = tmp_path / "trial"
    place.mkdir()
    return place


# Loading


def load(installed: Installed, tmp_path: Path, loading: Loading) -> Facts:
    condition = dataclasses.replace(CONDITION, measures="loading", loading=loading)
    ready = prepared(tmp_path, condition)
    return loadarms.LoadArm(installed, ready, tmp_path / "log", LIMITS).run(trial("api"), folder(tmp_path))


@pytest.mark.parametrize("by", ["posted", "class-first", "gc-off", "modules", "recipe"])
def test_each_way_loads_in_a_process_of_its_own_and_its_parts_are_the_whole(
    installed: Installed, tmp_path: Path, by: LoadBy
) -> None:
    facts = load(installed, tmp_path, Loading(by))
    assert set(facts["load_parts_s"]) == {"interpreter", "import_itk", "read_images", "registration_class"}
    assert facts["wall_s"] == facts["load_s"] == pytest.approx(sum(facts["load_parts_s"].values()))
    assert (facts["itk"], facts["itk_elastix"]) == ("5.4", "1")


@pytest.mark.skipif(sys.platform != "linux", reason="the recipe forks on Linux only")
def test_a_fork_counts_from_the_fork(installed: Installed, tmp_path: Path) -> None:
    facts = load(installed, tmp_path, Loading("fork"))
    assert set(facts["load_parts_s"]) == {"interpreter", "read_images", "registration_class"}


def test_without_bytecode_none_is_read_and_none_is_left(installed: Installed, tmp_path: Path) -> None:
    site = installed.site_packages
    (site / "itk" / "any.py").write_text(
        ITK + "sys.path.append(str([sys.flags.dont_write_bytecode, sys.pycache_prefix]))"
    )
    source = (site / "itk" / "__init__.py").read_text()
    (site / "itk" / "__init__.py").write_text(source + "raise RuntimeError(sys.path[-1])\n")
    with pytest.raises(TrialError, match=r"\[1, '.+'\]"):
        load(installed, tmp_path, Loading(bytecode=False))
    assert not list(site.rglob("*.pyc"))


def test_a_start_of_the_executable_asks_for_nothing(installed: Installed, tmp_path: Path) -> None:
    ready = prepared(tmp_path, dataclasses.replace(CONDITION, measures="loading", loading=Loading(cache="cold")))
    with Launcher() as launcher:
        facts = loadarms.StartArm(installed, ready, launcher, LIMITS).run(trial("cli"), folder(tmp_path))
    assert facts["wall_s"] > 0
    assert "result_digest" not in facts


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_what_a_system_cannot_measure_is_said(system: str) -> None:
    for loading in (Loading(cache="cold"), Loading("fork")):
        condition = dataclasses.replace(CONDITION, measures="loading", loading=loading)
        assert "Linux" in loadarms.impossible(condition, system)
        assert not loadarms.impossible(condition, "linux")
    assert not loadarms.impossible(CONDITION, system)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux empties the cache without root")
def test_forgotten_files_are_not_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "below" / "file"
    file.parent.mkdir()
    file.write_bytes(b"x" * 10 * mmap.PAGESIZE)
    filecache.forget([tmp_path])
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as pages:
        resident = (ctypes.c_ubyte * 10)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(pages)), resident) == 0
    if all(resident):
        pytest.skip("this file system lives in memory")
    assert not any(page & 1 for page in resident)


# The first results


def batch(installed: Installed, tmp_path: Path, path: Path_, *, warm_up: bool = False, **changes: object) -> Facts:
    condition = dataclasses.replace(
        CONDITION,
        **{"measures": "first-result", "registrations": 3, "strategy": "worker", **changes},  # type: ignore[arg-type]
    )
    with Launcher() as launcher:
        made = batcharms.makers(
            installed, prepared(tmp_path, condition), launcher, tmp_path / "log", LIMITS, sys.executable
        )
        arm = made[path]()
        try:
            return arm.run(trial(path, warm_up=warm_up), folder(tmp_path))
        finally:
            arm.close()


@pytest.mark.parametrize(
    ("path", "strategy", "jobs"),
    [
        ("cli", "worker", 1),
        ("cli", "worker", 2),
        ("api", "interpreters", 1),
        ("api", "worker", 1),
        ("api", "recipe", 2),
    ],
)
def test_every_result_has_its_time_in_the_order_in_which_they_come(
    installed: Installed, tmp_path: Path, path: Path_, strategy: str, jobs: int
) -> None:
    facts = batch(installed, tmp_path, path, strategy=strategy, jobs=jobs)
    assert list(facts["results_s"]) == sorted(facts["results_s"])
    assert len(facts["results_s"]) == 3
    assert (facts["first_s"], facts["wall_s"]) == (facts["results_s"][0], facts["results_s"][-1])
    assert facts["first_s"] > 0
    assert facts["note"] == ""
    assert len(list((tmp_path / "trial").glob("*/TransformParameters.0.txt"))) == 3
    assert (tmp_path / "trial" / "TransformParameters.0.txt").is_file()


def test_a_warm_up_waits_for_one_result(installed: Installed, tmp_path: Path) -> None:
    assert len(batch(installed, tmp_path, "cli", warm_up=True)["results_s"]) == 1


def test_the_api_is_ahead_once_it_stays_ahead() -> None:
    assert firstresults.ahead_after([1, 2, 3, 4], [3, 3, 3, 3]) == 3
    assert firstresults.ahead_after([1, 2, 3, 4], [1, 1, 5, 4]) == 4
    assert firstresults.ahead_after([1, 2], [3, 3]) is None
    assert firstresults.ahead_after([], []) is None
    assert firstresults.ahead_after([1, 2], [1, 2]) == 1


def test_times_of_rows_are_medians_over_their_trials() -> None:
    lists = [[1.0 + n for n in range(12)], [2.0 + n for n in range(12)], [9.0 + n for n in range(12)]]
    trials = pl.DataFrame(
        {
            "row": pl.Series([4] * 6, dtype=pl.UInt32),
            "phase": ["measure"] * 6,
            "status": ["ok"] * 6,
            "measures": ["first-result"] * 6,
            "path": ["cli"] * 3 + ["api"] * 3,
            "results_s": lists + [[5.0 + n / 2 for n in range(12)]] * 3,
        }
    )
    (row,) = firstresults.of_rows(trials).to_dicts()
    assert (row["cli_tenth_s"], row["api_tenth_s"], row["cli_hundredth_s"]) == (11.0, 9.5, None)
    assert (row["cli_more_s"], row["api_more_s"], row["ahead_after"]) == (1.0, 0.5, 7)


def test_what_was_not_measured_is_said() -> None:
    row: Row = defaultdict(str)
    nothing, place = Measured({("m", "1-2"): {("posted", "as-posted"): row}}, {}), ("m", "1-2")
    assert [*startup.loading(nothing, place), *startup.first_result(nothing, place)] == []
    assert "from which result on is a process that stays ahead (`first-result`)" in explain.text(nothing)
    assert "--experiment loading --experiment first-result` does, then `merge`" in explain.text(nothing)


def words(**cells: str) -> str:
    row: Row = {
        **{"condition": "worker", "strategy": "worker", "jobs": "1", "registrations": "20", "ahead_after": ""},
        **{"cli_first_s": "1", "api_first_s": "11", "cli_more_s": "1", "api_more_s": "0.5"},
        **{"cli_tenth_s": "10", "api_tenth_s": "15.5", "cli_hundredth_s": "", "api_hundredth_s": ""},
        **cells,
    }
    place = ("m", "p")
    return "\n".join(startup.first_result(Measured({place: {("first-result", "worker"): row}}, {}), place))


def test_a_crossing_is_measured_or_said_to_be_extrapolated() -> None:
    assert "ahead of the executable from result 12 on, measured" in words(ahead_after="12")
    assert "from result 21 on, extrapolated from 20 measured" in words()
    assert "never ahead" in words(api_more_s="1.5")
    assert "| worker | 1 | executables | 1 | 10 | ~100 | 1 |" in words()
    assert "| worker | 1 | one warm worker that loads as posted | 11 | 15.5 | ~60.5 | 0.5 |" in words()


def test_ways_to_load_stand_beside_the_posted_one() -> None:
    place = ("m", "p")
    rows = {
        ("loading", name): {"api_median_s": s, "cli_median_s": "0.08"}
        for name, s in (("posted", "20"), ("recipe", "2"))
    }
    rounds = {place: {"loading": {"posted": [5.0] * 12, "recipe": [2.697] * 12}}}
    text = "\n".join(startup.loading(Measured({place: rows}, rounds), place))
    assert "| posted | 20 | 0.08 |  |" in text
    assert "| recipe | 2 | 0.08 | 10.0 [10.0, 10.0] |" in text
