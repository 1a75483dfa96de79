"""Ways to load itk-elastix, each to the same end: two float images read and a registration object made.

Part of the worker (see worker.py): the standard library, itk, recipe.py beside this file, forking.py and used.py of
platforms/. 2-D images only.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Files = tuple[str, str]
Module = Callable[[str], Any]
"""Imports a file beside this one."""


class Stopwatch:
    """Seconds of each part of loading."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """Give the seconds since the last lap to this part."""
        now = time.perf_counter()
        self.parts[part], self._since = now - self._since, now


def posted(files: Files, watch: Stopwatch, _: Module) -> None:
    """As the post did it, and everybody does."""
    import itk

    watch.lap("import_itk")
    images = [itk.imread(file, itk.F) for file in files]
    watch.lap("read_images")
    itk.ElastixRegistrationMethod[type(images[0]), type(images[1])].New()
    watch.lap("registration_class")


def class_first(files: Files, watch: Stopwatch, _: Module) -> None:
    """The same names in another order."""
    import itk

    watch.lap("import_itk")
    image = itk.Image[itk.F, 2]
    itk.ElastixRegistrationMethod[image, image].New()
    watch.lap("registration_class")
    for file in files:
        itk.imread(file, itk.F)
    watch.lap("read_images")


def gc_off(files: Files, watch: Stopwatch, module: Module) -> None:
    """As posted, but the garbage collector does not go through a million new objects again and again."""
    gc.disable()
    posted(files, watch, module)
    gc.enable()


def modules(files: Files, watch: Stopwatch, _: Module) -> None:
    """The two modules that a registration needs, by the names of their files in the wheels."""
    importlib.import_module("itk")
    watch.lap("import_itk")
    _ready_by_modules(files, watch)


def recipe(files: Files, watch: Stopwatch, module: Module) -> None:
    """As the workers of the recipe: by the names of the files, the garbage collector off, one BLAS thread."""
    gc.disable()
    importlib.import_module("itk")
    watch.lap("import_itk")
    module("recipe")._load()
    _ready_by_modules(files, watch)


def fork(files: Files, watch: Stopwatch, module: Module) -> None:
    """A fork of a process that has loaded by the recipe; what that process took is not counted."""
    module("recipe")._load()
    forking = module("../system/forking")
    here, there = os.pipe()

    def child() -> None:
        os.write(there, b"+")
        its = Stopwatch()
        _ready_by_modules(files, its)
        os.write(there, json.dumps(its.parts).encode() + b"\n")

    watch.restart()
    number = forking.fork(child)
    os.close(there)
    with os.fdopen(here, "rb") as answer:
        answer.read(1)
        watch.lap("interpreter")
        watch.parts |= json.loads(answer.readline())
    os.waitpid(number, 0)


def _ready_by_modules(files: Files, watch: Stopwatch) -> None:
    method: Any = importlib.import_module("itk.itkElastixRegistrationMethodPython")
    method.itkElastixRegistrationMethodIF2IF2.New()
    watch.lap("registration_class")
    reader: Any = importlib.import_module("itk.itkImageFileReaderPython")
    for file in files:
        reading = reader.itkImageFileReaderIF2.New()
        reading.SetFileName(file)
        reading.Update()
    watch.lap("read_images")


WAYS: dict[str, Callable[[Files, Stopwatch, Module], None]] = {
    "posted": posted,
    "class-first": class_first,
    "gc-off": gc_off,
    "modules": modules,
    "recipe": recipe,
    "fork": fork,
}


def load(by: str, files: Files, module: Module) -> dict[str, Any]:
    """Load in one of the ways: the seconds of its parts, the bytes read from the disk, and the versions."""
    used = module("../system/used")
    before, watch = used.disk_bytes(), Stopwatch()
    WAYS[by](files, watch, module)
    after = used.disk_bytes()
    return {
        "parts": watch.parts,
        "disk_bytes": None if before is None or after is None else after - before,
        "python": sys.version.split()[0],
        "itk": importlib.metadata.version("itk-core"),
        "itk_elastix": importlib.metadata.version("itk-elastix"),
    }
