"""The child behind a Python arm: a persistent process that registers with itk-elastix or with SimpleITK when asked.

It is run as a file, by the build's own interpreter, and imports the standard library, the build's wheels and its
neighbour ``system/used.py``, nothing else:

    python -I -S worker.py SITE_PACKAGES

It reads one JSON request a line on stdin and answers with one JSON line on what was stdout when it started. What ITK
and elastix print goes to stderr, which the parent keeps in a log file. Requests: ``load``, ``register``, ``deform``
(see the methods of ``Worker``) and ``stop``. A failed request answers with ``error``; its traceback is in the log, and
the worker lives on.

Folders arrive relative to the working folder. The wheels for Windows open no path with a character that is not ASCII
(ITK issues 4388 and 6739): a relative path has none of the user's name, and images are read from inside their folder.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import pathlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, TextIO

TICK_S = 0.005
"""How often the thread ticks that tells whether Python's lock is released."""
_THREADERS = {"0": "Platform", "1": "Pool", "2": "TBB", "PLATFORM": "Platform", "POOL": "Pool"}
"""itk::MultiThreaderBaseEnums::Threader, as a number and as SimpleITK's word."""
_PIXELS = {"float": "F", "double": "D", "short": "SS", "unsigned short": "US", "unsigned char": "UC"}
"""FixedInternalImagePixelType of a parameter file -> pixel type of the wheels. itk-elastix has an image's own type
override the parameter, so the image is read as the parameter says."""
_EXTENSIONS = (".so", ".pyd", ".dylib")

Message = dict[str, Any]


def neighbour(name: str) -> Any:
    """A module beside or below this file, without putting its folder on the path of itk's imports."""
    spec = importlib.util.spec_from_file_location(name, pathlib.Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


this_process = neighbour("../system/used")


class Worker:
    """What lives on between requests: the library with the images read."""

    def __init__(self) -> None:
        self.library: Itk | SimpleItk

    def answer(self, request: Message) -> Message:
        """The answer to one request."""
        return {"load": self.load, "register": self.register, "deform": self.deform}[request["op"]](request)

    def load(self, request: Message) -> Message:
        """Load the library, read the images, make a registration object; the seconds of each, and the versions.

        Request: ``path`` ("api" or "sitk"), ``by`` ("modules": by the names of the wheels' files, or "posted": as the
        post did), ``images`` (name -> file: fixed, moving, where there are any fixed_mask, moving_mask), ``pixel``.
        """
        library = Itk if request["path"] == "api" else SimpleItk
        self.library = library(request["by"], request["pixel"])
        watch = Stopwatch()
        self.library.load(request["images"], watch)
        return {
            "parts": watch.parts,
            "modules": watch.modules,
            "said": {"python": sys.version.split()[0], **self.library.versions()},
            **self.library.in_effect(),
        }

    def register(self, request: Message) -> Message:
        """One registration.

        Request: ``parameter_files`` (run in a row), ``output`` (folder), ``threads`` (or null), ``threads_by``
        ("method" or "parameter"), ``given`` (name -> file: initial_transform, fixed_points, moving_points), ``ticks``
        (whether to count those of a thread). The timed part is what the post timed: the objects are made, set up and
        updated.
        """
        before = this_process.usage()
        with _ticking(bool(request.get("ticks"))) as ticks:
            start = time.perf_counter()
            self.library.register(request)
            wall_s = time.perf_counter() - start
        used = {name: _difference(value, before[name]) for name, value in this_process.usage().items()}
        answer = {"wall_s": wall_s, **used, "peak_bytes": this_process.peak_bytes(), **self.library.in_effect()}
        return answer | ({"ticks": ticks[0], "ticks_expected": int(wall_s / TICK_S)} if request.get("ticks") else {})

    def deform(self, request: Message) -> Message:
        """Write deformationField.mhd and .raw, the displacements of a chain of transform files, into a folder.

        Request: ``transform_files``, ``output``. The fixed image's grid stands in the last of the files.
        """
        self.library.deform(request["transform_files"], request["output"])
        return {}


class Stopwatch:
    """Seconds and extension modules of each part of loading."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.modules: dict[str, int] = {}
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """Give the seconds since the last lap to this part; count the modules that are loaded by now."""
        now = time.perf_counter()
        self.parts[part] = now - self._since
        files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
        self.modules[part] = sum(file.endswith(_EXTENSIONS) for file in files)
        self._since = time.perf_counter()


class Itk:
    """itk-elastix."""

    def __init__(self, by: str, pixel: str) -> None:
        self.posted = by == "posted"
        self.pixel = _PIXELS.get(pixel, "F")
        self.images: dict[str, Any] = {}
        self.dimension = 2

    def load(self, files: Mapping[str, str], watch: Stopwatch) -> None:
        """As ``Worker.load``; by the files' names the registration class comes first."""
        self.itk = importlib.import_module("itk")
        watch.lap("import_itk")
        if not self.posted:
            _module("itkElastixRegistrationMethod")
            watch.lap("registration_class")
        for name, file in files.items():
            pixel = "UC" if name.endswith("mask") else self.pixel
            with _inside(file) as near:
                self.images[name] = self._read(near, pixel)
        watch.lap("read_images")
        self._registration()
        if self.posted:
            watch.lap("registration_class")

    def _read(self, file: str, pixel: str) -> Any:
        if self.posted:
            return self.itk.imread(file, getattr(self.itk, pixel))
        readers = _module("itkImageFileReader")
        probe = readers.itkImageFileReaderIF2.New()
        probe.SetFileName(file)
        probe.UpdateOutputInformation()
        self.dimension = probe.GetImageIO().GetNumberOfDimensions()
        reader = getattr(readers, f"itkImageFileReaderI{pixel}{self.dimension}").New()
        reader.SetFileName(file)
        reader.Update()
        return reader.GetOutput()

    def _registration(self) -> Any:
        fixed, moving = self.images["fixed"], self.images["moving"]
        if self.posted:
            registration = self.itk.ElastixRegistrationMethod[type(fixed), type(moving)].New()
        else:
            kind = 2 * f"I{self.pixel}{self.dimension}"
            kinds = _module("itkElastixRegistrationMethod")
            registration = getattr(kinds, f"itkElastixRegistrationMethod{kind}").New()
        registration.SetFixedImage(fixed)
        registration.SetMovingImage(moving)
        return registration

    def _parameters(self, files: Iterable[str]) -> Any:
        kind = self.itk.ParameterObject if self.posted else _module("elxParameterObject").elastixParameterObject
        parameters = kind.New()
        for file in files:
            parameters.AddParameterFile(file)
        return parameters

    def register(self, request: Message) -> None:
        """One registration, as ``Worker.register`` says."""
        parameters = self._parameters(request["parameter_files"])
        if request["threads"] is not None and request["threads_by"] == "parameter":
            for index in range(parameters.GetNumberOfParameterMaps()):
                parameters.SetParameter(index, "NumberOfThreads", str(request["threads"]))
        registration = self._registration()
        registration.SetParameterObject(parameters)
        _give(registration, self.images, request["given"])
        registration.SetOutputDirectory(request["output"])
        registration.SetLogToConsole(False)
        registration.SetLogToFile(True)
        if request["threads"] is not None and request["threads_by"] == "method":
            registration.SetNumberOfThreads(request["threads"])
        registration.UpdateLargestPossibleRegion()

    def deform(self, files: Iterable[str], output: str) -> None:
        """As ``Worker.deform``."""
        kind = f"itkTransformixFilterI{self.pixel}{self.dimension}"
        transformix = getattr(_module("itkTransformixFilter"), kind).New()
        transformix.SetMovingImage(self.images["moving"])
        transformix.SetTransformParameterObject(self._parameters(files))
        transformix.SetComputeDeformationField(True)
        transformix.SetLogToConsole(False)
        transformix.SetOutputDirectory(output)
        transformix.UpdateLargestPossibleRegion()

    def versions(self) -> dict[str, str]:
        """As the wheels themselves say them."""
        return {
            "itk": _module("ITKCommonBase").itkVersion.GetITKVersion(),
            "itk_elastix": metadata.version("itk-elastix"),
        }

    def in_effect(self) -> Message:
        """What ITK really uses, asked of ITK."""
        base = _module("ITKCommonBase").itkMultiThreaderBase
        threader = str(int(base.GetGlobalDefaultThreader()))
        return {
            "threader": _THREADERS.get(threader, threader),
            "default_threads": int(base.GetGlobalDefaultNumberOfThreads()),
            "maximum_threads": int(base.GetGlobalMaximumNumberOfThreads()),
            "work_units": int(base.New().GetNumberOfWorkUnits()),
        }


class SimpleItk:
    """SimpleITK's ElastixImageFilter. It has one way to be loaded."""

    def __init__(self, _: str, pixel: str) -> None:
        self.pixel = {"D": "sitkFloat64", "SS": "sitkInt16", "US": "sitkUInt16", "UC": "sitkUInt8"}.get(
            _PIXELS.get(pixel, "F"), "sitkFloat32"
        )
        self.images: dict[str, Any] = {}

    def load(self, files: Mapping[str, str], watch: Stopwatch) -> None:
        """As ``Worker.load``."""
        self.sitk = importlib.import_module("SimpleITK")
        watch.lap("import_itk")
        for name, file in files.items():
            pixel = "sitkUInt8" if name.endswith("mask") else self.pixel
            with _inside(file) as near:
                self.images[name] = self.sitk.ReadImage(near, getattr(self.sitk, pixel))
        watch.lap("read_images")
        self.sitk.ElastixImageFilter()
        watch.lap("registration_class")

    def _set_up(self, kind: str, output: str) -> Any:
        made = getattr(self.sitk, kind)()
        made.SetOutputDirectory(output)
        made.LogToConsoleOff()
        made.LogToFileOn()
        return made

    def register(self, request: Message) -> None:
        """One registration, as ``Worker.register`` says."""
        maps = [self.sitk.ReadParameterFile(file) for file in request["parameter_files"]]
        registration = self._set_up("ElastixImageFilter", request["output"])
        registration.SetFixedImage(self.images["fixed"])
        registration.SetMovingImage(self.images["moving"])
        if request["threads"] is not None and request["threads_by"] == "parameter":
            for one in maps:
                one["NumberOfThreads"] = (str(request["threads"]),)
        registration.SetParameterMap(maps[0])
        for more in maps[1:]:
            registration.AddParameterMap(more)
        _give(registration, self.images, request["given"])
        if request["threads"] is not None and request["threads_by"] == "method":
            registration.SetNumberOfThreads(request["threads"])
        registration.Execute()

    def deform(self, files: Iterable[str], output: str) -> None:
        """As ``Worker.deform``."""
        transformix = self._set_up("TransformixImageFilter", output)
        transformix.SetMovingImage(self.images["moving"])
        first, *more = (self.sitk.ReadParameterFile(file) for file in files)
        transformix.SetTransformParameterMap(first)
        for one in more:
            transformix.AddTransformParameterMap(one)
        transformix.ComputeDeformationFieldOn()
        transformix.Execute()

    def versions(self) -> dict[str, str]:
        """As the wheel itself says them."""
        return {
            "itk": self.sitk.Version.ITKVersionString(),
            "simpleitk": metadata.version("simpleitk-simpleelastix"),
        }

    def in_effect(self) -> Message:
        """What SimpleITK tells of the threads that its ITK uses; it does not tell the maximum."""
        process, filter_ = self.sitk.ProcessObject, self.sitk.MedianImageFilter()
        threader = str(process.GetGlobalDefaultThreader())
        return {
            "threader": _THREADERS.get(threader, threader),
            "default_threads": int(process.GetGlobalDefaultNumberOfThreads()),
            "maximum_threads": None,
            "work_units": int(filter_.GetNumberOfWorkUnits()) or None,
        }


def _give(registration: Any, images: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Masks, initial transform and point sets; the setters of the two libraries have the same names."""
    if "fixed_mask" in images:
        registration.SetFixedMask(images["fixed_mask"])
    if "moving_mask" in images:
        registration.SetMovingMask(images["moving_mask"])
    setters = {
        "initial_transform": "SetInitialTransformParameterFileName",
        "fixed_points": "SetFixedPointSetFileName",
        "moving_points": "SetMovingPointSetFileName",
    }
    for name, file in given.items():
        getattr(registration, setters[name])(file)


def _module(name: str) -> Any:
    return importlib.import_module(f"itk.{name}Python")


@contextlib.contextmanager
def _inside(file: str) -> Iterator[str]:
    """A name by which the wheels can open the file, whatever the folders around it are called."""
    if file.isascii():
        yield file
        return
    here, path = pathlib.Path.cwd(), pathlib.Path(file)
    os.chdir(path.parent)
    try:
        yield path.name
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _ticking(wanted: bool) -> Iterator[list[int]]:
    """Count the ticks of a thread; it ticks only while Python's lock is free."""
    ticks, over = [0], threading.Event()

    def tick() -> None:
        while not over.wait(TICK_S):
            ticks[0] += 1

    thread = threading.Thread(target=tick, daemon=True)
    if wanted:
        thread.start()
        time.sleep(10 * TICK_S)  # it has started
        ticks[0] = 0
    yield ticks
    over.set()


def _difference(after: float | int | None, before: float | int | None) -> float | int | None:
    return None if after is None or before is None else after - before


def main(worker: Any) -> None:
    """Answer requests until stdin ends."""
    sys.path.insert(0, sys.argv[1])
    # The protocol keeps the pipe; what C++ prints on stdout goes to the log.
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.stderr is not None:
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    print(json.dumps({"hello": os.getpid()}), file=protocol, flush=True)
    serve(worker.answer, sys.stdin, protocol)
    # Tearing ITK's modules down takes seconds and can crash; nothing is left to save.
    os._exit(0)


def serve(answering: Callable[[Message], Message], requests: Iterable[str], protocol: TextIO) -> None:
    """Answer each line until there are no more, or one says stop."""
    for line in requests:
        request = json.loads(line)
        if request["op"] == "stop":
            break
        try:
            answer = answering(request)
        except BaseException as error:  # itk raises RuntimeError, wrapping trouble anything
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=protocol, flush=True)


if __name__ == "__main__":
    main(Worker())
