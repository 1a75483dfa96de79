"""The recipe's pool: real processes, with a made-up itk that does what the parameter file says."""

from __future__ import annotations

import array
import ast
import concurrent.futures
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import layout
from repro.builds import config, installed, interpreter
from repro.elastix import parameters as parameterfiles
from repro.elastix import transforms
from repro.errors import UnavailableError
from repro.measure import recipe
from repro.measure.recipe import ElastixError, ElastixPool, WorkerDiedError
from waiting import eventually, lives

PAIR = "0.25.4-5.3.1"
FAKE = {
    "__init__.py": "",
    "elxParameterObjectPython.py": """
        class elastixParameterObject:
            New = classmethod(lambda cls: cls())

            def __init__(self):
                self.texts = []

            def AddParameterFile(self, file):
                with open(file) as stream:
                    self.texts.append(stream.read())
        """,
    "itkImageFileReaderPython.py": """
        class Reader:
            New = classmethod(lambda cls: cls())

            def SetFileName(self, file):
                self.file = file

            def UpdateOutputInformation(self):
                with open(self.file, "rb") as stream:
                    self.content = stream.read()

            def GetImageIO(self):
                return self

            def GetNumberOfDimensions(self):
                return 3 if b"NDims = 3" in self.content else 2

            def GetOutput(self):
                return (self.dimension, self.content.decode("latin-1"))

        class itkImageFileReaderIF2(Reader):
            dimension = 2

        class itkImageFileReaderIF3(Reader):
            dimension = 3
        """,
    "itkElastixRegistrationMethodPython.py": """
        import ctypes, json, os, pathlib, signal, time

        AT_IMPORT = {name: os.environ.get(name) for name in os.environ if name.startswith(("ITK_", "OPENBLAS_"))}

        class Method:
            New = classmethod(lambda cls: cls())

            def __init__(self):
                self.set = {}

            def __getattr__(self, name):
                if not name.startswith("Set"):
                    raise AttributeError(name)
                return lambda value: self.set.__setitem__(name[3:], value)

            def UpdateLargestPossibleRegion(self):
                for text in self.set["ParameterObject"].texts:
                    for line in text.splitlines():
                        word, *rest = line.split(maxsplit=1)
                        getattr(self, "do_" + word)(*rest)

            def do_nothing(self):
                pass

            def do_fail(self, message):
                raise RuntimeError(message)

            def do_write(self, file):
                part = pathlib.Path(file + ".part")
                part.write_text(str(os.getpid()))
                part.rename(file)

            def do_wait(self, file):
                while not os.path.exists(file):
                    time.sleep(0.005)

            def do_hold(self):
                # As elastix does: for ever, with Python's lock held.
                ctypes.PyDLL(None).sleep(600)

            def do_die(self):
                os.kill(os.getpid(), signal.SIGKILL)

            def do_die_once(self, file):
                if not os.path.exists(file):
                    self.do_write(file)
                    self.do_die()

            def GetTransformParameterObject(self):
                return self

            def GetNumberOfParameterMaps(self):
                return len(self.set["ParameterObject"].texts)

            def GetParameterMap(self, number):
                seen = {name: value for name, value in self.set.items() if name != "ParameterObject"}
                facts = {"pid": os.getpid(), "set": seen, "environment": AT_IMPORT, "method": type(self).__name__}
                return {"facts": (json.dumps(facts),), "number": (str(number),)}

        class itkElastixRegistrationMethodIF2IF2(Method):
            pass

        class itkElastixRegistrationMethodIF3IF3(Method):
            pass
        """,
}
posix = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals")


@pytest.fixture(params=["fork", "spawn"])
def fork(request: pytest.FixtureRequest) -> bool:
    """Both ways to start a worker."""
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("only Linux forks")
    return bool(request.param == "fork")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the made-up itk, which the pools of the test import; and of an image."""
    (tmp_path / "site" / "itk").mkdir(parents=True)
    for name, text in FAKE.items():
        (tmp_path / "site" / "itk" / name).write_text(textwrap.dedent(text))
    (tmp_path / "image").write_text("pixels")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


class Jobs:
    """Submits jobs that do what a line or more of text says."""

    def __init__(self, pool: ElastixPool, folder: Path) -> None:
        self.pool, self.folder, self.count = pool, folder, 0

    def __call__(self, text: str, **options: Any) -> concurrent.futures.Future[recipe.Transforms]:
        self.count += 1
        file = self.folder / f"parameters.{self.count}.txt"
        file.write_text(text)
        image = self.folder / "image"
        return self.pool.submit(image, image, [file], **options)


def facts(future: concurrent.futures.Future[recipe.Transforms], patience_s: float = 30) -> dict[str, Any]:
    """What the made-up itk says of the job; the patience only bounds a failing test."""
    content: dict[str, Any] = json.loads(future.result(patience_s)[0]["facts"][0])
    return content


def written(file: Path) -> int:
    """The number that a job has written, once it has."""
    assert eventually(file.exists), "the job did not start"
    return int(file.read_text())


def test_a_job_reports_its_maps_and_gets_its_settings(fake: Path, fork: bool) -> None:
    (fake / "second.txt").write_text("nothing")
    with ElastixPool(1, 3, threader="Platform", fork=fork) as pool:
        job = pool.submit(
            str(fake / "image"), fake / "image", [fake / "second.txt"] * 2, output_directory=fake / "a" / "b"
        )
        maps = job.result(30)
    assert [one["number"] for one in maps] == [["0"], ["1"]]
    seen = json.loads(maps[0]["facts"][0])
    expected = {
        "ITK_GLOBAL_DEFAULT_THREADER": "Platform",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "1",
    }
    assert seen["environment"] == seen["environment"] | expected, "set before itk was imported"
    assert seen["set"] == {
        "FixedImage": [2, "pixels"],
        "MovingImage": [2, "pixels"],
        "NumberOfThreads": 3,
        "LogToConsole": False,
        "LogToFile": True,
        "OutputDirectory": str(fake / "a" / "b"),
    }
    assert (fake / "a" / "b").is_dir()
    assert seen["pid"] != os.getpid()


def test_without_an_output_directory_nothing_is_written(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        assert not {"OutputDirectory", "LogToFile"} & facts(Jobs(pool, fake)("nothing"))["set"].keys()


def test_workers_run_at_the_same_time_and_futures_come_as_completed(fake: Path, fork: bool) -> None:
    with ElastixPool(2, fork=fork) as pool:
        job = Jobs(pool, fake)
        # Each waits for what the other writes: one after the other, they would never end.
        first = job(f"write {fake}/one\nwait {fake}/two\nwait {fake}/go")
        second = job(f"wait {fake}/one\nwrite {fake}/two")
        done = next(concurrent.futures.as_completed([first, second], 30))
        assert done is second
        (fake / "go").touch()
        assert facts(first)["pid"] != facts(second)["pid"]


def test_a_worker_is_used_again_also_after_an_error(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        job = Jobs(pool, fake)
        before = facts(job("nothing"))["pid"]
        with pytest.raises(ElastixError, match="RuntimeError: the images do not overlap"):
            job("fail the images do not overlap").result(30)
        with pytest.raises(ElastixError, match=r"FileNotFoundError.*absent\.txt"):
            pool.submit(fake / "image", fake / "image", [fake / "absent.txt"]).result(30)
        assert facts(job("nothing"))["pid"] == before


@posix
def test_a_killed_worker_fails_its_own_job_only(fake: Path, fork: bool) -> None:
    with ElastixPool(2, fork=fork) as pool:
        job = Jobs(pool, fake)
        doomed = job(f"write {fake}/doomed\nhold")
        others = [job("nothing") for _ in range(5)]
        os.kill(written(fake / "doomed"), signal.SIGKILL)
        with pytest.raises(WorkerDiedError):
            doomed.result(30)
        pids = {facts(other)["pid"] for other in others}
        assert written(fake / "doomed") not in pids
        # Both workers can be had again.
        pair = [job(f"write {fake}/{a}\nwait {fake}/{b}") for a, b in (("x", "y"), ("y", "x"))]
        assert len({facts(one)["pid"] for one in pair}) == 2


@posix
def test_a_job_is_retried_as_often_as_asked(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        job = Jobs(pool, fake)
        assert facts(job(f"die_once {fake}/died", retries=1))["pid"] != written(fake / "died")
        with pytest.raises(WorkerDiedError):
            job("die", retries=2).result(30)
        with pytest.raises(WorkerDiedError):
            job(f"die_once {fake}/again").result(30)
        with pytest.raises(ElastixError):
            job(f"die_once {fake}/third\nfail", retries=1).result(30)


@posix
def test_a_worker_that_dies_idle_costs_no_job(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        job = Jobs(pool, fake)
        first = facts(job("nothing"))["pid"]
        os.kill(first, signal.SIGKILL)
        assert facts(job("nothing"))["pid"] != first


@posix
def test_a_job_is_stopped_at_its_time_out_even_with_pythons_lock_held(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        job = Jobs(pool, fake)
        endless = job(f"write {fake}/pid\nhold", timeout=0.5, retries=3)
        with pytest.raises(TimeoutError, match=r"0\.5 s"):
            endless.result(30)
        assert eventually(lambda: not lives(written(fake / "pid")))
        assert facts(job("nothing", timeout=30))["pid"] != written(fake / "pid")


@posix
def test_an_error_in_the_with_block_ends_everything_at_once(fake: Path, fork: bool) -> None:
    running: list[concurrent.futures.Future[recipe.Transforms]] = []
    waiting: list[concurrent.futures.Future[recipe.Transforms]] = []

    def fails() -> None:
        with ElastixPool(1, fork=fork) as pool:
            job = Jobs(pool, fake)
            running.append(job(f"write {fake}/pid\nhold", retries=5))
            waiting.extend(job("nothing") for _ in range(3))
            written(fake / "pid")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert isinstance(running[0].exception(0), WorkerDiedError)
    assert all(future.cancelled() for future in waiting)
    assert eventually(lambda: not lives(written(fake / "pid")))


def test_a_pool_that_is_shut_down_leaves_nothing(fake: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = fake / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    others = set(psutil.Process().children(recursive=True))  # of other tests, or of a library
    with ElastixPool(2, fork=fork) as pool:
        pids = [facts(Jobs(pool, fake)("nothing"))["pid"]]
        children = [child.pid for child in psutil.Process().children(recursive=True) if child not in others]
        pids += [facts(pool.submit(array.array("B", [1]), array.array("B", [1]), [fake / "parameters.1.txt"]))["pid"]]
        assert list(scratch.iterdir())
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(fake / "image", fake / "image", [])
    pool.shutdown()
    assert not list(scratch.iterdir())
    assert eventually(lambda: not any(lives(pid) for pid in {*pids, *children}))


@posix
def test_workers_end_with_the_process_that_made_them(fake: Path, fork: bool) -> None:
    # A script without the main guard that multiprocessing would need, which is killed in mid-job.
    (fake / "hold.txt").write_text(f"write {fake}/busy\nhold")
    (fake / "idle.txt").write_text(f"write {fake}/idle")
    script = f"""
        import sys
        sys.path[:0] = [{str(fake / "site")!r}, {str(Path(recipe.__file__).parents[1])!r}]
        from repro.measure.recipe import ElastixPool
        pool = ElastixPool(2, fork={fork})
        for name in ("hold.txt", "idle.txt"):
            pool.submit({str(fake / "image")!r}, {str(fake / "image")!r}, [{str(fake)!r} + "/" + name])
        """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    workers = [written(fake / name) for name in ("busy", "idle")]
    tree = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert all(lives(worker) for worker in workers)
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(lives(pid) for pid in (*workers, *tree)))


def test_what_cannot_be_loaded_is_named(tmp_path: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "itk").exists()])
    with ElastixPool(1, fork=fork) as pool:
        job = pool.submit(tmp_path, tmp_path, [])
        with pytest.raises(ElastixError, match="ModuleNotFoundError: No module named 'itk'"):
            job.result(30)


@posix
def test_a_lost_fork_server_hangs_nothing(fake: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux forks")
    with ElastixPool(1) as pool:
        job = Jobs(pool, fake)
        first = facts(job("nothing"))["pid"]
        server = psutil.Process(first).parent()
        server = server and server.parent()
        assert server is not None
        server.kill()
        assert facts(job("nothing"))["pid"] == first, "the worker that there is still works"
        with pytest.raises(WorkerDiedError):
            job("die").result(30)
        with pytest.raises((OSError, WorkerDiedError)):
            job("nothing").result(30)


def test_arrays_become_files_of_their_own_dimension(fake: Path, fork: bool) -> None:
    flat = memoryview(array.array("f", range(6))).cast("B").cast("f", (2, 3))
    deep = memoryview(bytes(range(24))).cast("B", (2, 3, 4))
    (fake / "nothing.txt").write_text("nothing")
    with ElastixPool(1, fork=fork) as pool:
        two = facts(pool.submit(flat, fake / "image", [fake / "nothing.txt"]))
        three = facts(pool.submit(deep, deep, [fake / "nothing.txt"]))
        wrong = pool.submit(memoryview(bytes(8)).cast("q"), deep, [fake / "nothing.txt"])
        with pytest.raises(TypeError, match="'q'; make it float32"):
            wrong.result(30)
    assert two["method"] == "itkElastixRegistrationMethodIF2IF2"
    assert "DimSize = 3 2\n" in two["set"]["FixedImage"][1]
    assert three["method"] == "itkElastixRegistrationMethodIF3IF3"
    assert three["set"]["MovingImage"][1].endswith(bytes(range(24)).decode("latin-1"))


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.sampled_from("BHhifd"))
def test_a_metaimage_holds_the_array(tmp_path_factory: pytest.TempPathFactory, shape: list[int], kind: str) -> None:
    values = np.arange(math.prod(shape), dtype=kind)
    image = values.reshape(shape)
    file = tmp_path_factory.mktemp("image") / "image.mha"
    assert recipe._as_file(image, file) == str(file)
    head, _, pixels = file.read_bytes().partition(b"LOCAL\n")
    header = dict(line.split(" = ") for line in head.removesuffix(b"ElementDataFile = ").decode().splitlines())
    assert [int(size) for size in header["DimSize"].split()] == shape[::-1]
    sizes = {"UCHAR": 1, "USHORT": 2, "SHORT": 2, "INT": 4, "FLOAT": 4, "DOUBLE": 8}
    assert sizes[header["ElementType"].removeprefix("MET_")] == values.itemsize
    assert pixels == values.tobytes()


def test_the_module_can_be_copied() -> None:
    text = Path(recipe.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    assert len(text.splitlines()) < 300


@pytest.fixture(scope="module")
def pair() -> installed.Installed:
    """The pair that was fetched. With REPRO_REAL=required, a missing one is a failure."""
    try:
        return installed.load(config.load_pairs()[PAIR])
    except UnavailableError as error:
        missing = pytest.fail if os.environ.get("REPRO_REAL") == "required" else pytest.skip
        missing(f"{PAIR}: {error}")


@pytest.fixture
def wheels(pair: installed.Installed, monkeypatch: pytest.MonkeyPatch) -> installed.Installed:
    """The pools of the test run the pair's wheels, with the Python that they are for."""
    monkeypatch.syspath_prepend(pair.site_packages)
    monkeypatch.setattr(sys, "executable", interpreter.pair_interpreter(pair))
    return pair


FIXED, MOVING = (layout.DATA / "synthetic" / f"{name}.tif" for name in ("fixed", "moving"))


def written_by_the_executable(pair: installed.Installed, parameters: Path, folder: Path, threads: int) -> Path:
    """The folder in which the executable has registered the synthetic images."""
    folder.mkdir()
    arguments = ["-f", FIXED, "-m", MOVING, "-p", parameters, "-out", folder, "-threads", threads]
    command = [*pair.elastix_command, *map(str, arguments)]
    subprocess.run(command, env={**os.environ, **pair.elastix_env}, check=True, capture_output=True)
    return folder


def test_the_example_registers_a_folder_and_one_bad_image_costs_no_other(fake: Path) -> None:
    app = fake / "app"  # the two files as a user copies them
    app.mkdir()
    for file in (layout.ROOT / "examples" / "register_folder.py", Path(recipe.__file__)):
        shutil.copy(file, app)
    (fake / "images").mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        (fake / "images" / name).write_text("pixels")
    (fake / "parameters.txt").write_text(f"die_once {fake / 'once'}\nnothing")
    arguments = ["image", "images", "out", "--params", "parameters.txt", "--workers", "2", "--timeout", "60"]

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(app / "register_folder.py"), *arguments]
        variables = {**os.environ, "PYTHONPATH": str(fake / "site")}
        return subprocess.run(command, cwd=fake, env=variables, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert sorted(lines) == [f"{name}: registered" for name in ("a.tif", "b.tif", "c.tif")]
    assert last == "3 of 3 registered to image"
    assert sorted(folder.name for folder in (fake / "out").iterdir()) == ["a.tif", "b.tif", "c.tif"]
    (fake / "parameters.txt").write_text("fail this image is no good")
    done = run()
    assert done.returncode == 1
    assert done.stdout.count("RuntimeError: this image is no good") == 3


@pytest.mark.real
@pytest.mark.parametrize(("file", "threads"), [("small-bspline.txt", 1), ("small-bspline.txt", 2), ("affine.txt", 1)])
def test_results_are_the_executables(
    wheels: installed.Installed, tmp_path: Path, fork: bool, file: str, threads: int
) -> None:
    # The API's result images are float, whatever the parameter file says.
    image = [("WriteResultImage", "true"), ("ResultImagePixelType", "float")]
    parameters = parameterfiles.override(parameterfiles.read(layout.PARAMETER_FILES / file), image)
    (tmp_path / file).write_text(parameters.text(), encoding="utf-8")
    expected = written_by_the_executable(wheels, tmp_path / file, tmp_path / "cli", threads)
    with ElastixPool(1, threads, fork=fork) as pool:
        maps = pool.submit(FIXED, MOVING, [tmp_path / file], output_directory=tmp_path / "api").result(300)
    ours = tmp_path / "api"
    assert {file.name for file in ours.iterdir()} == {file.name for file in expected.iterdir()}
    chains = [transforms.read_chain([folder / "TransformParameters.0.txt"]) for folder in (expected, ours)]
    assert transforms.difference_px(*chains)[1] <= 1e-6
    assert (ours / "result.0.raw").read_bytes() == (expected / "result.0.raw").read_bytes()
    assert {key: tuple(values) for key, values in maps[0].items()} == parameterfiles.read(
        ours / "TransformParameters.0.txt"
    ).values


@pytest.mark.real
def test_an_array_gives_what_its_file_gives(wheels: installed.Installed, fork: bool) -> None:
    # The synthetic images are 8-bit TIFF files whose pixels come last.
    arrays = [np.frombuffer(file.read_bytes()[-256 * 254 :], "uint8").reshape(254, 256) for file in (FIXED, MOVING)]
    parameters = [layout.PARAMETER_FILES / "small-affine.txt"]
    with ElastixPool(1, fork=fork) as pool:
        expected = pool.submit(FIXED, MOVING, parameters)
        for kind in ("uint8", "float32", "float64"):
            job = pool.submit(arrays[0].astype(kind), arrays[1].astype(kind), parameters)
            assert job.result(300) == expected.result(300)


@pytest.mark.real
@posix
def test_a_worker_that_is_killed_in_elastix_costs_its_job_only(
    wheels: installed.Installed, tmp_path: Path, fork: bool
) -> None:
    short, long = (layout.PARAMETER_FILES / f"{name}.txt" for name in ("small-bspline", "posted-bspline"))
    with ElastixPool(2, fork=fork) as pool:
        expected = pool.submit(FIXED, MOVING, [short]).result(300)
        endless = pool.submit(FIXED, MOVING, [long] * 50, output_directory=tmp_path)
        others = [pool.submit(FIXED, MOVING, [short]) for _ in range(3)]
        assert others[0].result(300) == expected
        log = str(tmp_path / "elastix.log")
        tree = psutil.Process().children(recursive=True)
        next(one for one in tree if log in [file.path for file in one.open_files()]).kill()
        with pytest.raises(WorkerDiedError):
            endless.result(300)
        assert [other.result(300) for other in others] == [expected] * 3
        with pytest.raises(TimeoutError):
            pool.submit(FIXED, MOVING, [long] * 50, timeout=1).result(300)
        with pytest.raises(ElastixError, match=r"absent\.tif"):
            pool.submit(FIXED, "absent.tif", [short]).result(300)
        assert pool.submit(FIXED, MOVING, [short]).result(300) == expected
