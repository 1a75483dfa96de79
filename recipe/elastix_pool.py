"""A pool of warm itk-elastix workers, one file to copy into a project. It needs itk-elastix (Python 3.10 or newer).

    with ElastixPool(workers=2, threads=1) as pool:
        futures = [pool.submit("fixed.tif", file, "bspline.txt", output_directory=f"out/{file}") for file in files]
        transforms = [future.result() for future in futures]  # or as concurrent.futures.as_completed gives them

Each worker is a process that has loaded itk-elastix, since Python's lock is held while elastix runs. The transforms are
those of the executable with ``-threads <threads>``, from a worker's first job to its last. README.md has the
measurements.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import queue
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

Transforms = list[dict[str, list[str]]]
"""The parameters in elastix's own text, a map for each parameter file."""
_LINUX, _WINDOWS = sys.platform == "linux", os.name == "nt"
_posix: Any = os
_sockets: Any = socket
_signals: Any = signal
"""The same modules; as Any for what Windows does not have in them."""
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_PID = struct.Struct("q")
_OPEN_FILES = "/proc/self/fd/"
_WRITTEN = ("result.", "TransformParameters.", "IterationInfo.", "elastix.log")
"""How the names of elastix's files begin."""
_WATCH_S = 0.5
"""How often the process that starts the workers looks whether the program still lives."""


class ElastixError(RuntimeError):
    """A registration could not be done. The message says why: elastix's, ITK's or Python's words."""


class WorkerDiedError(RuntimeError):
    """The process of a registration ended under it: killed, out of memory, crashed."""


class Image(NamedTuple):
    """An array with its place in space. ``pixels`` has the axes z, y, x; all else is in ITK's order x, y, z."""

    pixels: Any
    spacing: Sequence[float] | None = None
    """Of each axis; None: 1."""
    origin: Sequence[float] | None = None
    """Position of the first pixel; None: 0."""
    direction: Any = None
    """Rows of ITK's direction matrix; None: the identity."""


class ElastixPool:
    """Workers that do one registration at a time each, in the order in which they are submitted."""

    def __init__(self, workers: int, threads: int = 1, *, threader: str = "Pool", fork: bool = _LINUX) -> None:
        """Start the workers; they load while this returns.

        For many jobs: a worker for each physical core, with one thread. For one at a time: one worker, with a thread
        for each core. ``fork`` (Linux): itk is loaded once and forked; else each worker loads it.
        """
        if workers < 1 or threads < 1:
            raise ValueError(f"a pool needs at least 1 worker with 1 thread, not {workers} with {threads}")
        # ITK reads these once, so they are there before it is loaded. The threader decides on work units: TBB, the
        # wheels' default, makes 16 a thread; Pool, the executable's, 4. Numpy's BLAS would start threads that nobody
        # uses, and threads do not survive a fork.
        settings = {"ITK_GLOBAL_DEFAULT_THREADER": threader, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
        environment = {**os.environ, **settings, "OPENBLAS_NUM_THREADS": "1"}
        self._processes = _Keepers(environment) if _WINDOWS else _Server(environment, fork and _LINUX)
        weakref.finalize(self, self._processes.stop)  # a pool that is dropped without shutdown
        self._threads, self._pid = threads, os.getpid()
        self._executor = ThreadPoolExecutor(workers)  # each of its threads waits for one worker
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._started = [self._executor.submit(self._add_worker) for _ in range(workers)]

    def wait_until_loaded(self) -> None:
        """Return once all workers have loaded itk-elastix. Raises WorkerDiedError where one could not."""
        for started in self._started:
            started.result()

    def submit(
        self,
        fixed: Any,
        moving: Any,
        parameters: Any,
        *,
        fixed_mask: Any = None,
        moving_mask: Any = None,
        initial_transform: Any = None,
        output_directory: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Future[Transforms]:
        """Register ``moving`` to ``fixed``.

        Images and masks: files, arrays (spacing 1), an ``Image``, or itk images; those in memory must stay as they are
        until the job is done. Images become float32, and so does the result image.
        ``parameters``: a parameter file, a map, an itk.ParameterObject, or several files and maps to run in a row.
        ``initial_transform``: a transform parameter file, what an earlier job gave, or an itk.ParameterObject.
        ``output_directory`` gets what the executable leaves there.
        ``timeout``: seconds from the job's start, above 0; ``math.inf`` and None: for ever.
        The future raises ElastixError, TimeoutError, or WorkerDiedError once more than ``retries`` workers died of it.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("a pool works only in the process that made it, not in a fork of it")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is a number of seconds above 0, not {timeout}")
        images = {"fixed": fixed, "moving": moving, "fixed mask": fixed_mask, "moving mask": moving_mask}
        request = {
            "parameters": _maps_or_files(parameters),
            "initial": None if initial_transform is None else _maps_or_files(initial_transform),
            "output": None if output_directory is None else str(Path(output_directory).absolute()),
            "threads": self._threads,
        }
        given = {role: image for role, image in images.items() if image is not None}
        return self._executor.submit(self._run, given, request, timeout, retries)

    def shutdown(self, *, cancel: bool = False) -> None:
        """End the workers after the last job; or now: waiting jobs are cancelled, running ones fail."""
        if os.getpid() != self._pid:
            return  # a fork of the program must not end its parent's pool
        self._executor.shutdown(wait=not cancel, cancel_futures=cancel)
        self._processes.stop()
        self._executor.shutdown()
        self._processes.stop()  # what a thread had begun to start
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def __enter__(self) -> ElastixPool:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel=error is not None)

    def _add_worker(self) -> None:
        worker = _Worker(self._processes)
        try:
            worker.ready()
        finally:
            self._idle.put(worker)

    def _run(self, images: dict[str, Any], request: dict[str, Any], timeout: float | None, retries: int) -> Transforms:
        for left in range(retries, -1, -1):
            worker = self._idle.get()
            try:
                return worker.run(images, request, timeout)
            except WorkerDiedError:
                if self._processes.over or not left:
                    raise
            finally:
                self._idle.put(worker)
        raise ValueError(f"retries is a number from 0 on, not {retries}")


class _Worker:
    """The place of a worker process, which is replaced when it is lost. A line of JSON goes there, one comes back."""

    def __init__(self, processes: _Server | _Keepers) -> None:
        self._processes, self._timed_out = processes, False
        self._link: Any = None  # _SocketLink or _PipeLink

    def ready(self) -> None:
        """A process that answers: the one that there is, or a new one."""
        with contextlib.suppress(WorkerDiedError):  # it died of nothing to do, which costs no job a life
            if self._link:
                self._ask({}, [])
                return
        self.close()
        self._link = self._processes.start()
        self._ask({}, [])

    def run(self, images: dict[str, Any], request: dict[str, Any], timeout: float | None) -> Transforms:
        """Raises what the job's future raises."""
        self.ready()
        with contextlib.ExitStack() as files:
            places = {role: _as_file(role, image, self._processes.folder, files) for role, image in images.items()}
            descriptors = [place for place in places.values() if isinstance(place, int)]
            self._timed_out = False
            timer = threading.Timer(timeout or 0, self._stop)
            if timeout is not None and timeout < threading.TIMEOUT_MAX:
                timer.start()
            try:
                return self._ask({"images": places, **request}, descriptors)
            except WorkerDiedError:
                if self._timed_out and not self._processes.over:
                    raise TimeoutError(f"stopped at its time-out, {timeout} s") from None
                raise
            finally:
                timer.cancel()
                if timer.ident:
                    timer.join()  # one that strikes late must not hit the next job

    def close(self) -> None:
        """Let go of a process that has ended."""
        if self._link:
            self._link.close()

    def _stop(self) -> None:
        self._timed_out = True
        with contextlib.suppress(OSError):
            self._link.kill()

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> Transforms:
        try:
            self._link.send(json.dumps(request).encode() + b"\n", descriptors)
            answer: Transforms | dict[str, str] = json.loads(self._link.answers.readline())
        except (OSError, ValueError):  # cut off, no answer, or half a line
            raise WorkerDiedError("the worker process was killed or crashed") from None
        if isinstance(answer, dict):
            raise ElastixError(answer["error"])
        return answer


class _Server:
    """The process that starts the workers, on Linux and macOS. It is made anew when it is lost.

    It notices the end of the program by its own parent's number: a fork of the program may hold the socket open.
    """

    folder: Path | None = None
    """Where images of arrays stand for a moment; on Linux they have no name."""

    def __init__(self, environment: dict[str, str], fork: bool) -> None:
        self.over, self._lock = False, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment, self._fork, self._pid = environment, fork, os.getpid()
        if not _LINUX:
            self.folder = Path(tempfile.mkdtemp(prefix="elastix-pool-"))

    def start(self) -> _SocketLink:
        """A new worker. In a pool that forks, this waits for itk."""
        with self._lock:
            for _ in range(2):  # a server that was lost is seen by its silence
                if self.over:
                    break
                with contextlib.suppress(OSError):
                    return self._ask()
                self._end()
        raise WorkerDiedError("no worker process could be started" if not self.over else "the pool was shut down")

    def _ask(self) -> _SocketLink:
        if not self._process:
            self._control, theirs = socket.socketpair()
            with theirs:
                arguments = [str(os.getpid()), str(int(self._fork)), str(self.folder or "")]
                # A session of its own: what ends the program's group leaves the server time to clean up.
                options: Any = {"stdin": theirs, "env": self._environment, "start_new_session": True}
                self._process = subprocess.Popen(_command("_serve", *arguments), **options)
        control = self._control
        control.settimeout(1)
        control.sendall(_PID.pack(0))
        while True:
            with contextlib.suppress(TimeoutError):
                number, descriptors, _, _ = _sockets.recv_fds(control, _PID.size, 1)
                break
            if self._process.poll() is not None:  # and a fork of the program holds the other end
                raise OSError("the server ended")
        if not descriptors:
            raise OSError("the server ended")
        return _SocketLink(socket.socket(fileno=descriptors[0]), lambda: control.sendall(number))

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        if os.getpid() != self._pid:
            return
        self.over = True
        with contextlib.suppress(OSError, AttributeError):
            self._control.shutdown(socket.SHUT_RDWR)  # unlike closing, this also cuts what a fork holds
        with self._lock:
            self._end()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        if self._process:
            self._control.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class _SocketLink:
    """The way to a worker of the server."""

    def __init__(self, connection: socket.socket, kill: Callable[[], object]) -> None:
        self._connection, self.kill, self.answers = connection, kill, connection.makefile("rb")

    def send(self, line: bytes, descriptors: list[int]) -> None:
        """The line, and open files with its first blank."""
        if descriptors:
            _sockets.send_fds(self._connection, [b" "], descriptors)
        self._connection.sendall(line)

    def close(self) -> None:
        """Only this end: the worker is gone."""
        self.answers.close()
        self._connection.close()


class _Keepers:
    """The same on Windows: each worker has a keeper between, which ends it when the pool or the program is gone."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.over, self._environment = False, environment
        self._links: list[_PipeLink] = []
        self.folder = Path(tempfile.mkdtemp(prefix="elastix-pool-"))

    def start(self) -> _PipeLink:
        """A new worker."""
        if self.over:
            raise WorkerDiedError("the pool was shut down")
        options: Any = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0), "env": self._environment}
        command = _command("_keep", str(self.folder))
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self._links.append(_PipeLink(process))
        return self._links[-1]

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        self.over = True
        for link in self._links:
            link.kill()
        for link in self._links:
            link.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class _PipeLink:
    """The way to a worker by its keeper's pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self.answers, self._requests = process, process.stdout, process.stdin

    def send(self, line: bytes, _: list[int]) -> None:
        """The line."""
        self._requests.write(line)
        self._requests.flush()

    def kill(self) -> None:
        """An empty line ends the worker and its keeper; the end of input would also end the pool's folder."""
        with contextlib.suppress(OSError, ValueError):  # both have ended
            os.write(self._requests.fileno(), b"\n")

    def close(self) -> None:
        """The worker is gone, or about to go."""
        self.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._requests.close()
        self.answers.close()


def _command(role: str, *arguments: str) -> list[str]:
    """A Python that runs a function of this file, with the modules of the program."""
    path = [str(folder) for folder in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
    # On Windows a venv's own is a program that starts the other one.
    python = getattr(sys, "_base_executable", sys.executable) if _WINDOWS else sys.executable
    return [python, "-c", code, role, *arguments]


def _maps_or_files(given: Any) -> list[Any]:
    """Parameter files as whole paths, and maps."""
    if hasattr(given, "GetParameterMap"):
        given = [given.GetParameterMap(number) for number in range(given.GetNumberOfParameterMaps())]
    elif isinstance(given, (str, os.PathLike)) or hasattr(given, "items"):
        given = [given]
    found = [
        str(Path(one).absolute())
        if isinstance(one, (str, os.PathLike))
        else {name: [words] if isinstance(words, str) else list(words) for name, words in one.items()}
        for one in given
    ]
    if not found:
        raise ValueError("at least one parameter file or map is needed")
    return found


def _as_file(role: str, image: Any, folder: Path | None, files: contextlib.ExitStack) -> str | int:
    """The image's file; or an image in memory as a MetaImage: lines of text, then the bytes."""
    if isinstance(image, (str, os.PathLike)):
        return str(Path(image).absolute())
    header, pixels = _meta_image(role, image)
    if folder is None:
        descriptor = _posix.memfd_create("elastix-pool")
        files.callback(os.close, descriptor)
    else:
        descriptor, name = tempfile.mkstemp(".mha", dir=folder)
        files.callback(Path(name).unlink, missing_ok=True)
    with open(descriptor, "wb", closefd=folder is not None) as stream:
        stream.write(header)
        stream.write(pixels if pixels.c_contiguous else pixels.tobytes())
    return descriptor if folder is None else name


def _meta_image(role: str, image: Any) -> tuple[bytes, memoryview]:
    if hasattr(image, "GetDirection") and hasattr(image, "__array__"):  # itk's own
        matrix, axes = image.GetDirection().GetVnlMatrix(), range(image.GetImageDimension())
        direction = [[matrix.get(row, column) for column in axes] for row in axes]
        image = Image(image.__array__(), [*image.GetSpacing()], [*image.GetOrigin()], direction)
    elif not isinstance(image, Image):
        image = Image(image)
    try:
        pixels = memoryview(image.pixels)
    except TypeError:
        wanted = "a file, an array, an elastix_pool.Image or an itk image"
        raise TypeError(f"the {role} image has to be {wanted}, not {type(image.pixels)}") from None
    kinds = {"?": "UCHAR", "b": "CHAR", "B": "UCHAR", "h": "SHORT", "H": "USHORT", "f": "FLOAT", "d": "DOUBLE"}
    sized = {4: "INT", 8: "LONG_LONG"}.get(pixels.itemsize, "")
    kinds |= dict.fromkeys("ilq", sized) | dict.fromkeys("ILQ", f"U{sized}")
    if pixels.format not in kinds:
        raise TypeError(f"the {role} image cannot have pixels of type {pixels.format!r}; make it float32")
    axes = range(pixels.ndim)
    direction = image.direction if image.direction is not None else [[float(i == j) for j in axes] for i in axes]
    spacing = [1.0] * pixels.ndim if image.spacing is None else [*image.spacing]
    origin = [0.0] * pixels.ndim if image.origin is None else [*image.origin]
    if not len(spacing) == len(origin) == len(direction) == pixels.ndim:
        raise ValueError(
            f"the {role} image has {pixels.ndim} axes of pixels, {len(spacing)} of spacing, {len(origin)} of "
            f"origin and {len(direction)} of direction; pixels of several components cannot be registered"
        )
    fields = {
        "NDims": [pixels.ndim],
        "DimSize": (pixels.shape or ())[::-1],
        "ElementSpacing": [float(one) for one in spacing],
        "Offset": [float(one) for one in origin],
        "TransformMatrix": [float(direction[row][column]) for column in axes for row in axes],  # column by column
        "ElementType": [f"MET_{kinds[pixels.format]}"],
        "ElementDataFile": ["LOCAL"],
    }
    return "".join(f"{name} = {' '.join(map(str, v))}\n" for name, v in fields.items()).encode(), pixels


# ---- what follows runs in the processes of the pool ------------------------------------------------------------------


def _serve(program: str, fork: str, folder: str) -> None:
    """Start, kill and reap workers for the program; end them all when it is gone. Its socket is standard input."""
    signal.signal(_signals.SIGCHLD, signal.SIG_DFL)  # where the program ignores it, waitpid finds no worker that ended
    control, workers = socket.socket(fileno=0), set[int]()
    if fork == "1":
        _load()
    with contextlib.suppress(OSError):
        while os.getppid() == int(program):
            for worker in [*workers]:
                if os.waitpid(worker, _posix.WNOHANG)[0]:
                    workers.remove(worker)
            if not select.select([control], [], [], _WATCH_S)[0]:
                continue
            asked = control.recv(_PID.size, socket.MSG_WAITALL)
            if not asked:
                break
            if (worker := _PID.unpack(asked)[0]) == 0:
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    worker = _start(theirs, [control, ours], fork == "1")
                    workers.add(worker)
                    _sockets.send_fds(control, [_PID.pack(worker)], [ours.fileno()])
            elif worker in workers:  # it is not reaped, so that its number is still its own
                os.kill(worker, _KILL)
    for worker in workers:
        os.kill(worker, _KILL)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _start(connection: socket.socket, others: list[socket.socket], fork: bool) -> int:
    """The number of a new worker process."""
    server = os.getpid()
    if not fork:
        moved = [(_posix.POSIX_SPAWN_DUP2, connection.fileno(), 0)]
        return int(_posix.posix_spawn(sys.executable, _command("_work", str(server)), os.environ, file_actions=moved))
    if worker := int(_posix.fork()):
        return worker
    for other in others:
        other.close()
    os.dup2(connection.fileno(), 0)
    try:
        _work(str(server))
    finally:
        os._exit(1)  # it never returns into the server's code


def _keep(folder: str) -> None:
    """Windows: hand the requests through to a worker, which cannot see them end while elastix holds Python's lock."""
    worker: Any = subprocess.Popen(_command("_work", ""), 0, stdin=subprocess.PIPE, stdout=1)
    threading.Thread(target=lambda: os._exit(worker.wait() and 1)).start()
    with contextlib.suppress(OSError):
        for line in sys.stdin.buffer:
            if line == b"\n":
                break
            worker.stdin.write(line)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    worker.kill()


def _work(server: str) -> None:
    """Answer requests until no more can come."""
    if server and _LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(1, _KILL)  # PR_SET_PDEATHSIG: die with the server, whatever elastix is doing
        if os.getppid() != int(server):
            os._exit(0)
    connection = socket.socket(fileno=os.dup(0)) if server else None
    answers: Any = connection.makefile("wb") if connection else os.fdopen(os.dup(1), "wb")
    with tempfile.TemporaryFile() as log:  # what elastix prints, for the message of an error
        os.dup2(log.fileno(), 1)
    home = Path.cwd()
    _load()
    while True:
        line, descriptors = _receive(connection) if connection else (sys.stdin.buffer.readline(), [])
        if not line:
            os._exit(0)  # tearing itk's modules down takes time, and nothing is left to save
        try:
            os.chdir(home)
            request = json.loads(line)
            answer: Any = _register(**request, descriptors=descriptors) if request else []
        except ElastixError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": _in_words(error)}
        for descriptor in descriptors:
            os.close(descriptor)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """A line with the open files that came with it; nothing at the end."""
    line, descriptors = bytearray(), []
    while not line.endswith(b"\n"):
        part, more, _, _ = _sockets.recv_fds(connection, 1 << 16, 4)
        if not part:
            return b"", []
        line += part
        descriptors += more
    return bytes(line), descriptors


def _load() -> None:
    """Import what a registration needs of the wheels, by the names of its files."""
    # itk.ElastixRegistrationMethod would load 56 extension modules, and SWIG would compare the names of all their types
    # with each other, for seconds. These few do the same work.
    if gc.get_freeze_count():
        return  # forked
    gc.disable()  # it would go through a million new objects, none of them garbage
    with contextlib.suppress(Exception):  # the first job meets it again, and reports it
        for name in ("elxParameterObject", "itkElastixRegistrationMethod", "itkImageFileReader", "itkMetaImageIO"):
            _module(name)
    gc.freeze()
    gc.enable()


def _module(name: str) -> Any:
    return importlib.import_module(f"itk.{name}Python")


def _register(
    images: Mapping[str, str | int],
    parameters: list[Any],
    initial: list[Any] | None,
    output: str | None,
    threads: int,
    descriptors: list[int],
) -> Transforms:
    arrived = iter(descriptors)
    files = {r: f"{_OPEN_FILES}{next(arrived)}" if isinstance(one, int) else one for r, one in images.items()}
    read = _read_images(files)
    dimension = read["fixed"].GetImageDimension()
    method = f"itkElastixRegistrationMethodIF{dimension}IF{dimension}"
    registration = getattr(_module("itkElastixRegistrationMethod"), method).New()
    registration.SetFixedImage(read["fixed"])
    registration.SetMovingImage(read["moving"])
    if "fixed mask" in read:
        registration.SetFixedMask(read["fixed mask"])
    if "moving mask" in read:
        registration.SetMovingMask(read["moving mask"])
    registration.SetParameterObject(_parameter_object(parameters))
    if initial and isinstance(initial[0], str):
        registration.SetInitialTransformParameterFileName(_reachable(initial[0]))
    elif initial:
        registration.SetInitialTransformParameterObject(_parameter_object(initial))
    registration.SetNumberOfThreads(threads)
    registration.SetLogToConsole(False)
    if output:
        Path(output).mkdir(parents=True, exist_ok=True)
        registration.SetOutputDirectory(_reachable(output))
        registration.SetLogToFile(True)
    # elastix before 5.3.0 (itk-elastix before 0.24) counts its seeds on from one registration of a process to the next.
    # With the count put back to behind ITK's own generator, each draws the samples of the first, as the executable.
    generator = _module("ITKCommonBase").itkMersenneTwisterRandomVariateGenerator
    generator.GetInstance()
    generator.ResetNextSeed()
    generator.GetNextSeed()
    try:
        registration.UpdateLargestPossibleRegion()
    except Exception as error:
        raise ElastixError("; ".join([*_faults(read), _reason(error, registration, output)])) from None
    found = registration.GetTransformParameterObject()
    maps = [{k: list(v) for k, v in found.GetParameterMap(n).items()} for n in range(found.GetNumberOfParameterMaps())]
    if output:
        _check_output(Path(output))
    return maps


def _read_images(files: Mapping[str, str]) -> dict[str, Any]:
    """The images by their roles. All must have the axes of the fixed one."""
    axes, read = {}, {}
    for role, file in files.items():
        axes[role] = _reader(file, "F2").GetImageIO().GetNumberOfDimensions()
    if len({*axes.values()}) > 1:
        found = ", ".join(f"the {role} has {number}" for role, number in axes.items())
        raise ValueError(f"the images do not have the same number of axes: {found}")
    for role, file in files.items():
        reader = _reader(file, f"{'UC' if 'mask' in role else 'F'}{axes[role]}")
        reader.Update()
        read[role] = reader.GetOutput()
    return read


def _reader(file: str, kind: str) -> Any:
    """A reader that knows the header."""
    reader = getattr(_module("itkImageFileReader"), f"itkImageFileReaderI{kind}", None)
    if reader is None:
        raise ValueError(f"itk-elastix does not register images of {kind[-1]} axes")
    reader = reader.New()
    if file.startswith(_OPEN_FILES):  # no ending tells its format
        reader.SetImageIO(_module("itkMetaImageIO").itkMetaImageIO.New())
    reader.SetFileName(_reachable(file))  # the readers of all formats come with elastix
    reader.UpdateOutputInformation()
    return reader


def _parameter_object(files_or_maps: list[Any]) -> Any:
    found = _module("elxParameterObject").elastixParameterObject.New()
    for one in files_or_maps:
        if isinstance(one, str):
            found.AddParameterFile(_reachable(one))
        else:
            found.AddParameterMap(one)
    return found


def _reachable(path: str) -> str:
    """A path that ITK can open. On Windows it opens none with letters outside ASCII (ITK 4388); from inside it does."""
    if not _WINDOWS or path.isascii():
        return path
    if Path(path).is_dir():
        os.chdir(path)
        return "."
    os.chdir(Path(path).parent)
    return Path(path).name


def _reason(error: Exception, registration: Any, output: str | None) -> str:
    """What elastix says in its log, where ITK's message only points to it."""
    if "See elastix log" not in str(error):
        return _in_words(error)
    if output:
        log = Path(output, "elastix.log").read_text(encoding="utf-8", errors="replace")
    else:  # no log was written: that would cost each short job some per cent. So it fails once more, with its log on
        os.lseek(1, 0, os.SEEK_SET)
        os.ftruncate(1, 0)
        registration.SetLogToConsole(True)
        with contextlib.suppress(Exception):
            registration.UpdateLargestPossibleRegion()
        os.lseek(1, 0, os.SEEK_SET)
        log = os.read(1, 1 << 24).decode(errors="replace")
    found = re.findall(r"^Description: (.*?)\n\s*\n", log, re.M | re.S) or re.findall(r"^ERROR: (.*)", log, re.M)
    words = re.sub(r"\(0x[0-9a-f]+\)", "", " ".join(" ".join(found).split())).removeprefix("ITK ERROR: ")
    return f"elastix says: {words}" if words else _in_words(error)


def _in_words(error: Exception) -> str:
    """Its kind and message, without the place in ITK's source."""
    return f"{type(error).__name__}: " + re.sub(r"^\S+:\d+:\s+", "", str(error)).strip()


def _faults(images: Mapping[str, Any]) -> list[str]:
    """What is wrong with the pixels: elastix's own message does not say it."""
    found = []
    for role in ("fixed", "moving"):
        kind = f"itkStatisticsImageFilterIF{images[role].GetImageDimension()}"
        with contextlib.suppress(Exception):
            statistics = getattr(_module("itkStatisticsImageFilter"), kind).New()
            statistics.SetInput(images[role])
            statistics.Update()
            if statistics.GetSum() != statistics.GetSum():
                found.append(f"the {role} image has pixels that are not a number (NaN)")
            elif statistics.GetMinimum() == statistics.GetMaximum():
                found.append(f"all pixels of the {role} image are {statistics.GetMinimum()}")
    return found


def _check_output(folder: Path) -> None:
    """Raise OSError where not all could be written: elastix does not notice a full disk."""
    probe = folder / f".elastix-pool-{os.getpid()}"
    try:
        probe.write_bytes(bytes(1 << 16))
    finally:
        probe.unlink(missing_ok=True)
    ours = [file for file in folder.iterdir() if file.name.startswith(_WRITTEN) and file.is_file()]
    if empty := [file.name for file in ours if not file.stat().st_size]:
        raise OSError(f"{folder}: {', '.join(empty)} could not be written; is the disk full?")


if __name__ == "__main__":
    if _WINDOWS:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's business
    globals()[sys.argv[1]](*sys.argv[2:])
