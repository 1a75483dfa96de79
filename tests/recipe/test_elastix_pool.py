"""The pool: real processes, with a made-up itk that does what the parameter file says."""

from __future__ import annotations

import array
import ast
import concurrent.futures
import contextlib
import ctypes
import gc
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.paths import RECIPE
from support.pool import elastix_pool, write_fake_itk
from support.waiting import eventually, lives

ElastixPool = elastix_pool.ElastixPool
ElastixError, WorkerDiedError, Image = elastix_pool.ElastixError, elastix_pool.WorkerDiedError, elastix_pool.Image
Job = concurrent.futures.Future[Any]
posix = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture(params=["fork", "spawn"])
def fork(request: pytest.FixtureRequest) -> bool:
    """Both ways to start a worker."""
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("only Linux forks")
    return bool(request.param == "fork")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the made-up itk, which the pools of the test import; and of an image."""
    write_fake_itk(tmp_path / "site")
    (tmp_path / "image").write_text("pixels", encoding="utf-8")
    (tmp_path / "nothing.txt").write_text("nothing", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


class Jobs:
    """Submits jobs that do what a line or more of text says."""

    def __init__(self, pool: Any, folder: Path) -> None:
        self.pool, self.folder, self.count = pool, folder, 0

    def __call__(self, text: str, **options: Any) -> Job:
        self.count += 1
        file = self.folder / f"parameters.{self.count}.txt"
        file.write_text(text, encoding="utf-8")
        image = self.folder / "image"
        return self.pool.submit(image, image, [file], **options)  # type: ignore[no-any-return]


def facts(future: Job, patience_s: float = 30) -> dict[str, Any]:
    """What the made-up itk says of the job; the patience only bounds a failing test."""
    content: dict[str, Any] = json.loads(future.result(patience_s)[0]["facts"][0])
    return content


def written(file: Path) -> int:
    """The number that a job has written, once it has."""
    assert eventually(file.exists), "the job did not start"
    return int(file.read_text(encoding="utf-8"))


def processes() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


# Jobs


def test_a_job_reports_its_maps_and_gets_its_settings(fake: Path, fork: bool) -> None:
    with ElastixPool(1, 3, threader="Platform", fork=fork) as pool:
        job = pool.submit(
            str(fake / "image"), fake / "image", [fake / "nothing.txt"] * 2, output_directory=fake / "a" / "b"
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
        "FixedImage": "pixels",
        "MovingImage": "pixels",
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
            pool.submit(fake / "image", fake / "image", fake / "absent.txt").result(30)
        assert facts(job("nothing"))["pid"] == before


def test_an_error_carries_what_elastix_says_in_its_log(fake: Path, fork: bool) -> None:
    with ElastixPool(1, fork=fork) as pool:
        job = Jobs(pool, fake)
        with pytest.raises(ElastixError, match=r"^elastix says: component could not be created: NoSuchMetric$"):
            job("log component could not be created: NoSuchMetric").result(30)
        with pytest.raises(ElastixError, match=r"^elastix says: written to a file$"):
            job("log written to a file", output_directory=fake / "out").result(30)
        with pytest.raises(ElastixError, match=r"^RuntimeError: another$"):
            job("fail another").result(30)


def test_each_job_of_a_process_draws_the_samples_of_the_first(fake: Path) -> None:
    # elastix before 5.3.0 counts its seeds on from one registration to the next.
    with ElastixPool(1) as pool:
        job = Jobs(pool, fake)
        assert {facts(job("draw\ndraw"))["seeds"] for _ in range(3)} == {3}


def test_a_single_file_a_map_and_a_parameter_object_are_taken(fake: Path) -> None:
    with ElastixPool(1) as pool:
        image = fake / "image"
        words = {"nothing": ["at", "all"]}
        of_itk = SimpleNamespace(GetNumberOfParameterMaps=lambda: 2, GetParameterMap=lambda number: {"nothing": ("x",)})
        counts = [len(pool.submit(image, image, given).result(30)) for given in (str(fake / "nothing.txt"), words)]
        assert counts == [1, 1]
        assert len(pool.submit(image, image, [fake / "nothing.txt", words]).result(30)) == 2
        assert len(pool.submit(image, image, of_itk).result(30)) == 2
        with pytest.raises(ValueError, match="at least one parameter file"):
            pool.submit(image, image, [])


def test_a_text_in_a_map_is_one_word(fake: Path) -> None:
    image = fake / "image"
    with ElastixPool(1) as pool:
        for words in ("500", ["500"]):
            job = pool.submit(image, image, {"nothing": ["at all"]}, initial_transform={"Iterations": words})
            assert facts(job)["set"]["InitialTransformParameterObject"] == ["Iterations 500"]


def test_masks_and_initial_transforms_reach_elastix(fake: Path, fork: bool) -> None:
    image, mask = fake / "image", np.ones((2, 3), bool)
    with ElastixPool(1, fork=fork) as pool:
        one = facts(
            pool.submit(
                image, image, fake / "nothing.txt", fixed_mask=mask, moving_mask=image, initial_transform="start.txt"
            )
        )["set"]
        two = facts(pool.submit(image, image, fake / "nothing.txt", initial_transform=[{"A": ["1"]}]))["set"]
    assert one["FixedMask"].endswith("\x01" * 6)
    assert one["MovingMask"] == "pixels"
    assert one["InitialTransformParameterFileName"] == str(Path("start.txt").absolute())
    assert two["InitialTransformParameterObject"] == ["A 1"]


def test_images_of_different_dimensions_are_named(fake: Path) -> None:
    with ElastixPool(1) as pool:
        flat, deep = np.zeros((2, 2), "uint8"), np.zeros((2, 2, 2), "uint8")
        with pytest.raises(ElastixError, match="same number of axes: the fixed has 2, the moving has 3"):
            pool.submit(flat, deep, fake / "nothing.txt").result(30)


@pytest.mark.parametrize("bad", [math.nan, 0, -1])
def test_a_time_out_that_is_no_time_is_refused(fake: Path, bad: float) -> None:
    with ElastixPool(1) as pool, pytest.raises(ValueError, match="above 0"):
        pool.submit(fake / "image", fake / "image", fake / "nothing.txt", timeout=bad)


@pytest.mark.parametrize("patience", [math.inf, 1e15])
def test_a_time_out_may_be_endless(fake: Path, patience: float) -> None:
    with ElastixPool(1) as pool:
        assert facts(Jobs(pool, fake)("nothing", timeout=patience))


@pytest.mark.parametrize(("workers", "threads"), [(0, 1), (1, 0)])
def test_a_pool_of_nothing_is_refused(workers: int, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1 worker with 1 thread"):
        ElastixPool(workers, threads)


def test_what_could_not_be_written_is_an_error(fake: Path) -> None:
    with ElastixPool(1) as pool:
        job = Jobs(pool, fake)
        with pytest.raises(ElastixError, match=r"result\.0\.raw could not be written; is the disk full"):
            job("empty result.0.raw", output_directory=fake / "out").result(30)


def test_an_empty_file_that_was_there_before_is_no_fault(fake: Path) -> None:
    (fake / "out").mkdir()
    (fake / "out" / ".gitkeep").touch()
    with ElastixPool(1) as pool:
        assert facts(Jobs(pool, fake)("nothing", output_directory=fake / "out"))


@linux
def test_a_full_disk_is_an_error(fake: Path) -> None:
    resource: Any = pytest.importorskip("resource")

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    script = f"""
        import sys
        sys.path[:0] = [{str(fake / "site")!r}, {str(RECIPE.parent)!r}]
        from elastix_pool import ElastixPool
        with ElastixPool(1) as pool:
            job = pool.submit(*[{str(fake / "image")!r}] * 2, {str(fake / "nothing.txt")!r}, output_directory="out")
            print(job.exception(30))
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=fake, preexec_fn=full, capture_output=True, text=True, check=False)
    assert "OSError" in done.stdout, done.stderr


# Images in memory


def header_and_pixels(image: Any) -> tuple[dict[str, str], bytes]:
    header, pixels = elastix_pool._meta_image("fixed", image)
    lines = header.decode().splitlines()
    assert lines[-1] == "ElementDataFile = LOCAL"
    return dict(line.split(" = ") for line in lines), pixels.tobytes()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.sampled_from("?bBhHiIqQfd"))
def test_a_metaimage_holds_the_array(shape: list[int], kind: str) -> None:
    values = np.arange(math.prod(shape)).astype(kind)
    header, pixels = header_and_pixels(values.reshape(shape))
    assert [int(size) for size in header["DimSize"].split()] == shape[::-1]
    sizes = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
    element = header["ElementType"].removeprefix("MET_")
    assert sizes[element.removeprefix("U")] == values.itemsize
    assert pixels == values.tobytes()


def test_an_array_that_is_a_view_is_written_in_order() -> None:
    values = np.arange(12, dtype="uint8").reshape(3, 4)
    assert header_and_pixels(values.T)[1] == values.T.tobytes()


def test_an_image_keeps_its_place_in_space() -> None:
    header, _ = header_and_pixels(Image(np.zeros((2, 3), "f"), (0.5, 2), (3, 4), [[0, -1], [1, 0]]))
    assert header["DimSize"] == "3 2"
    assert (header["ElementSpacing"], header["Offset"]) == ("0.5 2.0", "3.0 4.0")
    assert header["TransformMatrix"] == "0.0 1.0 -1.0 0.0", "MetaImage has the matrix column by column"


def test_an_image_of_itk_keeps_its_place_in_space() -> None:
    matrix = SimpleNamespace(get=lambda row, column: [[0, -1], [1, 0]][row][column])
    image = SimpleNamespace(
        GetDirection=lambda: SimpleNamespace(GetVnlMatrix=lambda: matrix),
        GetImageDimension=lambda: 2,
        GetSpacing=lambda: (0.5, 2),
        GetOrigin=lambda: (3, 4),
        __array__=lambda: np.zeros((2, 3), "f"),
    )
    expected = header_and_pixels(Image(np.zeros((2, 3), "f"), (0.5, 2), (3, 4), [[0, -1], [1, 0]]))
    assert header_and_pixels(image) == expected


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (3, "a file, an array, an elastix_pool.Image or an itk image, not <class 'int'>"),
        (np.zeros((2, 2), "complex64"), "make it float32"),
        (Image(np.zeros((2, 2, 3), "uint8"), (1, 1)), "3 axes of pixels, 2 of spacing"),
    ],
)
def test_what_is_no_image_is_refused_in_words(image: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        elastix_pool._meta_image("fixed", image)


def test_arrays_reach_elastix(fake: Path, fork: bool) -> None:
    flat = memoryview(array.array("f", range(6))).cast("B").cast("f", (2, 3))
    deep = memoryview(bytes(range(24))).cast("B", (2, 3, 4))
    with ElastixPool(1, fork=fork) as pool:
        two = facts(pool.submit(flat, fake / "image", fake / "nothing.txt"))
        three = facts(pool.submit(deep, deep, fake / "nothing.txt"))
        with pytest.raises(TypeError, match="the fixed image has to be"):
            pool.submit(7, deep, fake / "nothing.txt").result(30)
    assert two["method"] == "itkElastixRegistrationMethodIF2IF2"
    assert "DimSize = 3 2\n" in two["set"]["FixedImage"]
    assert three["method"] == "itkElastixRegistrationMethodIF3IF3"
    assert three["set"]["MovingImage"].endswith(bytes(range(24)).decode("latin-1"))


def test_arrays_reach_elastix_also_through_a_folder(fake: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on macOS and Windows, which have no files without a name that ITK could open.
    monkeypatch.setattr(elastix_pool, "_LINUX", False)
    monkeypatch.setattr("tempfile.tempdir", str(fake))
    with ElastixPool(1, fork=fork) as pool:
        seen = facts(pool.submit(np.ones((2, 2), "uint8"), fake / "image", fake / "nothing.txt"))
        assert seen["set"]["FixedImage"].endswith("\x01" * 4)
        assert not list(fake.glob("elastix-pool-*/*")), "nothing stays after the job"
    assert not list(fake.glob("elastix-pool-*"))


# Deaths and ends


@posix
@pytest.mark.parametrize("end", ["time-out", "death"])
def test_with_keepers_a_lost_worker_takes_no_other_jobs_images(
    fake: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    # As on Windows, but for its pipes and for how it ends processes.
    monkeypatch.setattr(elastix_pool, "_WINDOWS", True)
    monkeypatch.setattr("tempfile.tempdir", str(fake))
    image = np.ones((2, 2), "uint8")
    with ElastixPool(2) as pool:
        job = Jobs(pool, fake)
        with pytest.raises(TimeoutError if end == "time-out" else WorkerDiedError):
            job("hold" if end == "time-out" else "die", timeout=1).result(30)
        assert [facts(pool.submit(image, image, fake / "nothing.txt")) for _ in range(3)]
    assert not list(fake.glob("elastix-pool-*"))


@posix
def test_with_keepers_nothing_outlives_the_program(fake: Path) -> None:
    (fake / "hold.txt").write_text(f"write {fake}/busy\nhold", encoding="utf-8")
    script = f"""
        import os, sys, tempfile, time
        sys.path[:0] = [{str(fake / "site")!r}, {str(RECIPE.parent)!r}]
        import elastix_pool
        elastix_pool._WINDOWS, tempfile.tempdir = True, {str(fake)!r}
        pool = elastix_pool.ElastixPool(1)
        image = memoryview(bytes(4)).cast("B", (2, 2))
        pool.submit(image, image, {str(fake / "hold.txt")!r})
        while not os.path.exists({str(fake / "busy")!r}):
            time.sleep(0.01)
        os._exit(3)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == 3
    assert eventually(lambda: not lives(written(fake / "busy")))
    assert eventually(lambda: not list(fake.glob("elastix-pool-*")))


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
        assert facts(job(f"die_once {fake}/died", retries=1))
        with pytest.raises(WorkerDiedError):
            job("die", retries=2).result(30)
        with pytest.raises(WorkerDiedError):
            job(f"die_once {fake}/again").result(30)
        with pytest.raises(ElastixError):
            job(f"die_once {fake}/third\nfail x", retries=1).result(30)


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
        pool.wait_until_loaded()
        endless = job(f"write {fake}/pid\nhold", timeout=0.5, retries=3)
        with pytest.raises(TimeoutError, match=r"0\.5 s"):
            endless.result(30)
        assert eventually(lambda: not lives(written(fake / "pid")))
        assert facts(job("nothing", timeout=30))["pid"] != written(fake / "pid")


@linux
def test_the_process_that_forks_is_made_anew(fake: Path, fork: bool) -> None:
    with ElastixPool(2, fork=fork) as pool:
        job = Jobs(pool, fake)
        first = facts(job("nothing"))["pid"]
        server = psutil.Process(first).parent()
        assert server is not None
        server.kill()
        assert eventually(lambda: not lives(first))  # its workers end with it, in their own time
        for _ in range(4):
            assert facts(job("nothing"))["pid"] != first


@posix
def test_a_killed_worker_costs_no_other_job_where_the_program_ignores_its_children(fake: Path, fork: bool) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with ElastixPool(2, fork=fork) as pool:
            job = Jobs(pool, fake)
            other = job(f"write {fake}/other\nwait {fake}/go")
            written(fake / "other")
            with pytest.raises(TimeoutError):
                job("hold", timeout=0.1).result(30)
            assert facts(job("nothing"))
            (fake / "go").touch()
            assert facts(other)
    finally:
        signal.signal(signal.SIGCHLD, before)


@posix
def test_an_error_in_the_with_block_ends_everything_at_once(fake: Path, fork: bool) -> None:
    running: list[Job] = []
    waiting: list[Job] = []

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
    others = processes()
    with ElastixPool(2, fork=fork) as pool:
        pids = {facts(Jobs(pool, fake)("nothing"))["pid"]}
        pids |= {child.pid for child in processes() - others}
        facts(pool.submit(np.ones((1, 1), "uint8"), np.ones((1, 1), "uint8"), fake / "nothing.txt"))
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(fake / "image", fake / "image", fake / "nothing.txt")
    pool.shutdown()
    assert not list(scratch.iterdir())
    assert eventually(lambda: not any(lives(pid) for pid in pids))


def test_shutdown_closes_what_the_pool_had_open(fake: Path, fork: bool) -> None:
    opened = psutil.Process().num_fds if sys.platform != "win32" else psutil.Process().num_handles
    pool = ElastixPool(2, fork=fork)
    facts(Jobs(pool, fake)("nothing"))
    before = opened()
    pool.shutdown()
    assert opened() <= before - 3, "the way to the server and to each worker"


def test_a_pool_that_is_forgotten_leaves_nothing(fake: Path) -> None:
    pid = facts(Jobs(ElastixPool(1), fake)("nothing"))["pid"]
    gc.collect()
    assert eventually(lambda: not lives(pid))


def test_a_pool_works_in_a_thread(fake: Path) -> None:
    found: list[Any] = []

    def work() -> None:
        with ElastixPool(1) as pool:
            found.append(facts(Jobs(pool, fake)("nothing")))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert found


@posix
def test_workers_live_on_after_the_thread_that_made_the_pool(fake: Path, fork: bool) -> None:
    pools: list[Any] = []
    thread = threading.Thread(target=lambda: pools.append(ElastixPool(1, fork=fork)))
    thread.start()
    thread.join(60)
    with pools[0] as pool:
        job = Jobs(pool, fake)
        assert facts(job("nothing"))["pid"] == facts(job("nothing"))["pid"]


@linux
def test_shutdown_waits_for_no_child_that_the_program_has_forked(fake: Path, fork: bool) -> None:
    others = processes()
    with ElastixPool(1, fork=fork) as pool:
        facts(Jobs(pool, fake)("nothing"))
        ours = processes() - others
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).pause()
            os._exit(0)
    try:
        assert eventually(lambda: not any(lives(process.pid) for process in ours))
        assert lives(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@linux
def test_a_fork_of_the_program_can_neither_use_nor_end_the_pool(fake: Path) -> None:
    with ElastixPool(1) as pool:
        before = facts(Jobs(pool, fake)("nothing"))["pid"]
        if (child := os.fork()) == 0:
            try:
                pool.submit(fake / "image", fake / "image", fake / "nothing.txt")
            except RuntimeError:
                pool.shutdown()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert facts(Jobs(pool, fake)("nothing"))["pid"] == before


SIGKILL = "import signal; os.kill(os.getpid(), signal.SIGKILL)"
SIGTERM = "import signal; os.kill(os.getpid(), signal.SIGTERM)"


@posix
@pytest.mark.parametrize("end", [SIGKILL, SIGTERM, "os._exit(3)"], ids=["SIGKILL", "SIGTERM", "os._exit"])
@pytest.mark.parametrize("forks", [False, True], ids=["alone", "with a forked child"])
def test_nothing_outlives_the_program(fake: Path, fork: bool, end: str, forks: bool) -> None:
    # A script without the main guard that multiprocessing would need, which ends in mid-job.
    (fake / "hold.txt").write_text(f"write {fake}/busy\nhold", encoding="utf-8")
    (fake / "idle.txt").write_text(f"write {fake}/idle", encoding="utf-8")
    (fake / "scratch").mkdir()
    script = f"""
        import os, sys, time
        sys.path[:0] = [{str(fake / "site")!r}, {str(RECIPE.parent)!r}]
        from elastix_pool import ElastixPool
        pool = ElastixPool(2, fork={fork})
        image = memoryview(bytes(4)).cast("B", (2, 2))
        for name in ("hold.txt", "idle.txt"):
            pool.submit(image, image, [{str(fake)!r} + "/" + name])
        while not (os.path.exists({str(fake / "busy")!r}) and os.path.exists({str(fake / "idle")!r})):
            time.sleep(0.01)
        if {forks} and os.fork() == 0:
            os.closerange(0, 3)  # what the test reads must end with the program
            time.sleep(600)
        print("ready", flush=True)
        sys.stdin.readline()
        {end}
        """
    environment = {**os.environ, "TMPDIR": str(fake / "scratch")}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as program:
        assert program.stdin
        assert program.stdout
        program.stdout.readline()
        tree = psutil.Process(program.pid).children(recursive=True)
        pool = [process for process in tree if "runpy" in " ".join(process.cmdline())]
        program.stdin.write(b"\n")
        program.stdin.flush()
        program.wait()
    try:
        assert {written(fake / "busy"), written(fake / "idle")} <= {process.pid for process in pool}
        assert eventually(lambda: not any(lives(process.pid) for process in pool))
        assert eventually(lambda: not list((fake / "scratch").iterdir()))
    finally:
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_what_cannot_be_loaded_is_named(tmp_path: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "itk").exists()])
    with ElastixPool(1, fork=fork) as pool:
        job = pool.submit(tmp_path, tmp_path, "parameters.txt")
        with pytest.raises(ElastixError, match="ModuleNotFoundError: No module named 'itk'"):
            job.result(30)


def test_on_windows_paths_that_itk_cannot_open_are_opened_from_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "José"
    folder.mkdir()
    (folder / "fixed.tif").touch()
    reachable: Callable[[str], str] = elastix_pool._reachable
    assert reachable(str(folder / "fixed.tif")) == str(folder / "fixed.tif"), "other systems open it as it is"
    monkeypatch.setattr(elastix_pool, "_WINDOWS", True)
    assert reachable(str(folder / "fixed.tif")) == "fixed.tif"
    assert Path("fixed.tif").exists()
    assert reachable(str(folder)) == "."
    assert Path.cwd() == folder


def test_the_file_can_be_copied_and_needs_nothing_newer_than_python_3_10() -> None:
    tree = ast.parse(RECIPE.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
