"""The API path's child: a persistent process that registers with itk-elastix when asked.

It is run as a file, by the pair's own interpreter with ``-I -S`` and the pair's own wheels, and
imports nothing but the standard library, itk and its neighbours ``system/used.py`` and
``loadways.py``. It reads one JSON request a line on stdin and answers with one JSON line on what
was stdout when it started; ITK's and elastix's own output goes to stderr, which the parent keeps in
a log file.

    python -I -S worker.py SITE_PACKAGES

Requests: ``{"op": "load", "fixed": path, "moving": path}`` answers with the seconds of each part
of loading; ``{"op": "load_by", "by": way, ...}`` with the same of a way of loadways.py, in a
process that does nothing else; ``{"op": "register", ...}`` (see ``register``) with the seconds of the call, what took
effect and what the process has used; ``{"op": "stop"}`` ends it. A failed request answers with
``error``, with the traceback in the log; the worker lives on.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, TextIO

_THREADERS = {0: "Platform", 1: "Pool", 2: "TBB"}  # itk::MultiThreaderBaseEnums::Threader


def neighbour(name: str) -> Any:
    """A module beside or below this file, without putting the folder on the path of itk's imports."""
    spec = importlib.util.spec_from_file_location(name, pathlib.Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


this_process = neighbour("../system/used")


class Worker:
    """What lives on between requests: the itk module and the two images."""

    def __init__(self) -> None:
        self.itk: Any = None
        self.images: tuple[Any, Any] = (None, None)
        self.files: tuple[str, str] = ("", "")

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        operations = {"load": self.load, "load_by": self.load_by, "register": self.register}
        return operations[request["op"]](request)

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import itk, read both images, load the registration class; seconds of each."""
        parts, files = {}, (request["fixed"], request["moving"])
        clock = time.perf_counter
        start = clock()
        import itk

        self.itk = itk
        parts["import_itk"] = clock() - start
        start = clock()
        if files != self.files:
            # elastix registers float images inside (FixedInternalImagePixelType), so both paths
            # convert once, while reading.
            self.images = (itk.imread(files[0], itk.F), itk.imread(files[1], itk.F))
            self.files = files
        parts["read_images"] = clock() - start
        start = clock()
        self._registration(itk.ParameterObject.New())
        parts["registration_class"] = clock() - start
        return {"parts": parts, **self.versions()}

    def load_by(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load in one of the ways of loadways.py; what the process has used since its start."""
        files = (request["fixed"], request["moving"])
        loaded = neighbour("loadways").load(request["by"], files, neighbour)
        return {**loaded, "used": this_process.usage(), "peak_bytes": this_process.peak_bytes()}

    def versions(self) -> dict[str, Any]:
        """Versions of the interpreter and of the wheels, as the wheels themselves say them."""
        from importlib import metadata

        return {
            "python": sys.version.split()[0],
            "itk": self.itk.Version.GetITKVersion(),
            "itk_elastix": metadata.version("itk-elastix"),
        }

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        """One registration.

        Request: ``parameter_files`` (run in a row), ``output`` (folder), ``threads`` (or null),
        ``threads_by`` ("parameter", "method" or "none"). The timed part is what the post timed:
        the objects are made, set up and updated; files and images are read before it.
        """
        itk = self.itk
        before = this_process.usage()
        start = time.perf_counter()
        parameters = itk.ParameterObject.New()
        for file in request["parameter_files"]:
            parameters.AddParameterFile(file)
        if request["threads_by"] == "parameter":
            for index in range(parameters.GetNumberOfParameterMaps()):
                parameters.SetParameter(index, "NumberOfThreads", str(request["threads"]))
        registration = self._registration(parameters)
        registration.SetOutputDirectory(request["output"])
        registration.SetLogToConsole(False)
        registration.SetLogToFile(True)
        if request["threads_by"] == "method":
            registration.SetNumberOfThreads(request["threads"])
        registration.UpdateLargestPossibleRegion()
        wall_s = time.perf_counter() - start
        after = this_process.usage()
        used = {
            name: None if value is None or before[name] is None else value - before[name]
            for name, value in after.items()
        }
        return {"wall_s": wall_s, "used": used, "peak_bytes": this_process.peak_bytes(), **self.effective()}

    def _registration(self, parameters: Any) -> Any:
        fixed, moving = self.images
        registration = self.itk.ElastixRegistrationMethod[type(fixed), type(moving)].New()
        registration.SetFixedImage(fixed)
        registration.SetMovingImage(moving)
        registration.SetParameterObject(parameters)
        return registration

    def effective(self) -> dict[str, Any]:
        """What ITK really uses, asked of ITK after the call."""
        base = self.itk.MultiThreaderBase
        threader = int(base.GetGlobalDefaultThreader())
        return {
            "threader": _THREADERS.get(threader, str(threader)),
            "default_threads": int(base.GetGlobalDefaultNumberOfThreads()),
            "maximum_threads": int(base.GetGlobalMaximumNumberOfThreads()),
            "work_units": int(base.New().GetNumberOfWorkUnits()),
        }


def main(worker: Any) -> None:
    """Answer requests until stdin ends."""
    sys.path.insert(0, sys.argv[1])
    # The protocol keeps the pipe, which aside.py names under a profiler; what C++ prints on stdout goes to the log.
    answers = os.environ.pop("REPRO_ANSWERS", "")
    protocol = os.fdopen(int(answers) if answers else os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps({"hello": os.getpid()}), file=protocol, flush=True)
    serve(worker.answer, sys.stdin, protocol)
    # Tearing ITK's modules down takes seconds and can crash; nothing is left to save.
    os._exit(0)


def serve(answering: Callable[[dict[str, Any]], dict[str, Any]], requests: Iterable[str], protocol: TextIO) -> None:
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
