"""A pool of warm itk-elastix workers, to copy into a project. It needs itk-elastix and nothing else.

    with ElastixPool(workers=2, threads=1) as pool:
        futures = [pool.submit("fixed.tif", file, ["bspline.txt"], output_directory=f"out/{file}") for file in files]
        transforms = [future.result() for future in futures]  # or as concurrent.futures.as_completed gives them

Each worker is a process that has loaded itk-elastix, since Python's lock is held while elastix runs. The transforms
are those of the executable with ``-threads <threads>``. docs/recipe.md has the measurements behind each choice.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

Transforms = list[dict[str, list[str]]]  # the parameters in elastix's own text, a map for each parameter file
_FORK = sys.platform == "linux"


class ElastixError(RuntimeError):
    """A registration could not be done; the message is elastix's, ITK's or Python's own."""


class WorkerDiedError(RuntimeError):
    """The process of a registration ended under it: killed, out of memory, crashed."""


class ElastixPool:
    """Workers that do one registration at a time each, in the order in which they are submitted."""

    def __init__(self, workers: int, threads: int = 1, *, threader: str = "Pool", fork: bool = _FORK) -> None:
        """Start the workers; they load while this returns.

        For many jobs: a worker for each physical core, with one thread. For one at a time: one worker, with
        a thread for each core. ``fork`` (Linux): itk is loaded once and forked; else each worker loads it.
        """
        # ITK reads the first two once, so they are there before it is loaded. The threader decides
        # on work units: TBB, the wheels' default, makes 16 a thread; Pool, the executable's, 4.
        # Numpy's BLAS would start threads that nobody uses, and threads do not survive a fork.
        settings = {"ITK_GLOBAL_DEFAULT_THREADER": threader, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
        self._environment = {**os.environ, **settings, "OPENBLAS_NUM_THREADS": "1"}
        self._threads, self._open = threads, contextlib.ExitStack()
        self._executor = ThreadPoolExecutor(workers)  # each of its threads waits for one worker
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="elastix-", ignore_cleanup_errors=True))
        self._control: socket.socket | None = None
        if fork:
            control, theirs = socket.socketpair()
            with theirs:
                self._popen("_serve_forks", stdin=theirs)
            self._control = self._open.enter_context(control)
        self._workers = [_Worker(self._launch, Path(folder, str(number))) for number in range(workers)]
        self._idle = self._workers.copy()

    def submit(
        self,
        fixed: Any,
        moving: Any,
        parameter_files: Sequence[str | os.PathLike[str]],
        *,
        output_directory: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Future[Transforms]:
        """Register ``moving`` to ``fixed`` with the parameter files in a row.

        Images: files, or arrays (axes z, y, x; spacing 1), which must stay as they are until the job is
        done; both become float32, and so does the result image. The output directory gets what the
        executable leaves there. ``timeout``: seconds from the job's start. The future raises ElastixError,
        TimeoutError, or WorkerDiedError when more than ``retries`` workers died of the job.
        """
        parameters = [str(Path(file).absolute()) for file in parameter_files]
        output = None if output_directory is None else str(Path(output_directory).absolute())
        request = {"parameters": parameters, "output": output, "threads": self._threads}
        return self._executor.submit(self._run, [fixed, moving], request, timeout, retries)

    def shutdown(self, *, cancel: bool = False) -> None:
        """End the workers after the last job; or now: waiting jobs are cancelled, running ones fail."""
        self._executor.shutdown(wait=not cancel, cancel_futures=cancel)
        for worker in self._workers:
            worker.over = True
            worker.kill()
        self._executor.shutdown()
        self._open.close()

    def __enter__(self) -> ElastixPool:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel=error is not None)

    def _run(self, images: list[Any], request: dict[str, Any], timeout: float | None, retries: int) -> Transforms:
        worker = self._idle.pop()
        try:
            return worker.run(images, request, timeout)
        except WorkerDiedError:
            if worker.over or retries < 1:
                raise
        finally:
            self._idle.append(worker)
        return self._run(images, request, timeout, retries - 1)

    def _launch(self) -> tuple[Callable[[bytes], object], IO[bytes], Callable[[], object]]:
        """A new worker: how to send to it, what to read from, and how to end the sending, which kills it."""
        if sys.platform != "linux" or not self._control:
            process: Any = self._popen("_keep", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return lambda line: (process.stdin.write(line), process.stdin.flush()), process.stdout, process.stdin.close
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        answers = self._open.enter_context(self._open.enter_context(ours).makefile("rb"))
        return ours.sendall, answers, lambda: ours.shutdown(socket.SHUT_WR)

    def _popen(self, role: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", __file__, json.dumps(sys.path), role]
        options |= {"env": self._environment, "creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
        return self._open.enter_context(subprocess.Popen(command, **options))


class _Worker:
    """The place of a worker process, which is replaced when it is lost. A line of JSON goes there, one comes back."""

    def __init__(self, launch: Callable[[], Any], file: Path) -> None:
        self._launch, self._file, self._killed, self.over = launch, file, False, False
        self._send, self._answers, self._cut = launch()

    def run(self, images: list[Any], request: dict[str, Any], timeout: float | None) -> Transforms:
        """Raises what the job's future raises."""
        try:
            self._ask({})
        except WorkerDiedError:  # it died of nothing to do, which costs no job a life
            self.kill()
            self._send, self._answers, self._cut = self._launch()
            if self.over:
                self.kill()
            self._ask({})
        files = [_as_file(image, self._file.with_suffix(f".{n}.mha")) for n, image in enumerate(images)]
        self._killed = False
        timer = threading.Timer(timeout or 0, self.kill)
        if timeout is not None:
            timer.start()
        try:
            return self._ask({"images": files, **request})
        except WorkerDiedError:
            if self._killed and not self.over:
                raise TimeoutError(f"stopped at its time-out, {timeout} s") from None
            raise
        finally:
            timer.cancel()
            if timer.ident:
                timer.join()  # one that strikes late must not hit the next job

    def kill(self) -> None:
        """From any thread, whatever the process is doing."""
        self._killed = True
        with contextlib.suppress(OSError):
            self._cut()

    def _ask(self, request: dict[str, Any]) -> Transforms:
        try:
            self._send(json.dumps(request).encode() + b"\n")
            answer: Transforms | dict[str, str] = json.loads(self._answers.readline())
        except (OSError, ValueError):  # cut off, no answer, or half a line
            raise WorkerDiedError("the worker process was killed or crashed") from None
        if isinstance(answer, dict):
            raise ElastixError(answer["error"])
        return answer


def _as_file(image: Any, path: Path) -> str:
    """The image's file; that of an array is a MetaImage: lines of text, then the bytes."""
    if isinstance(image, str | os.PathLike):
        return str(Path(image).absolute())
    pixels: Any = memoryview(image)
    kind = {"B": "UCHAR", "H": "USHORT", "h": "SHORT", "i": "INT", "f": "FLOAT", "d": "DOUBLE"}.get(pixels.format)
    if kind is None:
        raise TypeError(f"an image cannot have pixels of type {pixels.format!r}; make it float32")
    size = " ".join(str(length) for length in pixels.shape[::-1])
    header = f"NDims = {pixels.ndim}\nDimSize = {size}\nElementType = MET_{kind}\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + pixels.tobytes())
    return str(path)


# What follows runs in the processes of the pool.
if sys.platform == "linux":

    def _serve_forks(requests: IO[bytes], _: IO[bytes]) -> None:
        """Load itk once, then fork a keeper for each socket that comes."""
        _load()
        control = socket.socket(fileno=requests.fileno())
        while sockets := socket.recv_fds(control, 1, 1)[1]:
            if os.fork() == 0:
                control.close()
                _keep_fork(socket.socket(fileno=sockets[0]))
            os.close(sockets[0])

    def _keep_fork(pool: socket.socket) -> None:
        """Stand between the pool and a worker, which cannot see the pool go while elastix holds Python's lock."""
        worker = os.fork()
        if worker == 0:
            _work(pool.makefile("rb"), pool.makefile("wb"))
        # The dead is not reaped: its number stays its own, and the kill hits no stranger.
        threading.Thread(target=lambda: os._exit(not os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT))).start()
        pool_gone = select.poll()
        pool_gone.register(pool, select.POLLRDHUP)
        pool_gone.poll()
        os.kill(worker, signal.SIGKILL)
        os._exit(0)


def _keep(requests: IO[bytes], answers: IO[bytes]) -> None:
    """The same where nothing is forked; the requests go through it."""
    command = [sys.executable, *sys.orig_argv[1:-1], "_work"]
    worker: Any = subprocess.Popen(command, 0, stdin=subprocess.PIPE, stdout=answers)
    threading.Thread(target=lambda: os._exit(worker.wait() and 1)).start()
    with contextlib.suppress(OSError):
        for line in requests:
            worker.stdin.write(line)
    worker.kill()


def _work(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until no more can come."""
    _load()
    for line in requests:
        try:
            request = json.loads(line)
            answer: Any = _register(**request) if request else []
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
    os._exit(0)  # tearing itk's modules down takes time, and nothing is left to save


def _load() -> None:
    """Import what a registration needs of the wheels, by the names of its files."""
    # itk.ElastixRegistrationMethod would load 56 extension modules, and SWIG would compare the names
    # of all their types with each other, for seconds. These few do the same work.
    gc.disable()  # it would go through a million new objects, none of them garbage
    with contextlib.suppress(Exception):  # the first job meets it again, and reports it
        for name in ("elxParameterObject", "itkElastixRegistrationMethod", "itkImageFileReader"):
            _module(name)
    gc.freeze()
    gc.enable()


def _module(name: str) -> Any:
    return importlib.import_module(f"itk.{name}Python")


def _reader(path: str, dimension: int) -> Any:
    reader = getattr(_module("itkImageFileReader"), f"itkImageFileReaderIF{dimension}").New()
    reader.SetFileName(path)  # the readers of all formats come with elastix
    reader.UpdateOutputInformation()
    return reader


def _register(images: list[str], parameters: list[str], output: str | None, threads: int) -> Transforms:
    dimension = _reader(images[0], 2).GetImageIO().GetNumberOfDimensions()
    fixed, moving = (_reader(path, dimension) for path in images)
    parameter_object = _module("elxParameterObject").elastixParameterObject.New()
    for file in parameters:
        parameter_object.AddParameterFile(file)
    method = f"itkElastixRegistrationMethodIF{dimension}IF{dimension}"
    registration = getattr(_module("itkElastixRegistrationMethod"), method).New()
    registration.SetFixedImage(fixed.GetOutput())
    registration.SetMovingImage(moving.GetOutput())
    registration.SetParameterObject(parameter_object)
    registration.SetNumberOfThreads(threads)
    registration.SetLogToConsole(False)
    if output:
        Path(output).mkdir(parents=True, exist_ok=True)
        registration.SetOutputDirectory(output)
        registration.SetLogToFile(True)
    registration.UpdateLargestPossibleRegion()
    found = registration.GetTransformParameterObject()
    return [{k: list(v) for k, v in found.GetParameterMap(n).items()} for n in range(found.GetNumberOfParameterMaps())]


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's business
    _answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C++ prints is no answer
    globals()[sys.argv[2]](sys.stdin.buffer, _answers)
