#!/usr/bin/env python3
"""How long does a Python process take until it can register? Asked of a build, in several ways of loading.

    PYTHONPATH=src python studies/loading.py api:0.25.4 [--executable cli:5.3.1] [--rounds 10]

Each round has every way once, in seeded random order, in a fresh interpreter: from its start to two images read and a
registration object made. The ways: `posted`, as everybody does it; `class-first`, the class before the first image;
`gc-off`, the garbage collector off meanwhile; `modules`, by the names of the wheels' files; `pool`, as the pool's
workers; `fork`, a fork of a process that has loaded (Linux). `cold`: the build's files out of the file cache (Linux);
`no bytecode`: no .pyc files. docs/loading.md quotes it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
VARIANTS = (("posted", "cold"), ("posted", "no bytecode"), ("pool", "cold"), ("pool", "no bytecode"))


def main() -> None:
    """Print a row a way."""
    import setting
    from repro.system.children import Launcher
    from repro.system.platforms import can_fork_loaded

    parser = setting.arguments(__doc__)
    parser.add_argument("--executable", help="to compare the start with, as cli:5.3.1")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    options = parser.parse_args()
    build = setting.build_of(options.build, "api")
    executable = setting.build_of(options.executable, "cli") if options.executable else None
    ways = [(way, "") for way in options.ways if way != "fork" or can_fork_loaded()]
    ways += [one for one in VARIANTS if one[0] in options.ways and (one[1] != "cold" or sys.platform == "linux")]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {way: [] for way in ways}
    starts: list[float] = []
    draw = random.Random(options.seed)
    with setting.working_folder() as folder, Launcher() as launcher:
        for number in range(options.rounds):
            for way, variant in draw.sample(ways, len(ways)):
                if variant == "cold":
                    empty_file_cache(build.site_packages or folder)
                cache = folder / f"no-bytecode-{number}-{way}"
                flags = ["-X", f"pycache_prefix={cache}"] if variant == "no bytecode" else []
                found[way, variant].append(load(build, flags, way, folder))
            if executable:
                starts.append(setting.run_executable(launcher, executable, None, folder / "start", 1))
    setting.print_header(
        "build", "way", "wall (s)", "CPU (s)", "of which import, images, class (s)", "read (MB)", "MiB"
    )
    for (way, variant), loads in found.items():
        parts = [[load["parts"].get(part, 0.0) for load in loads] for part in PARTS]
        read = [load["disk_bytes"] / 1e6 for load in loads if load["disk_bytes"] is not None]
        setting.print_row(
            build.name,
            f"{way}, {variant}" if variant else way,
            setting.spread([load["wall_s"] for load in loads]),
            setting.spread([load["cpu_s"] for load in loads]),
            ", ".join(f"{sorted(part)[len(part) // 2]:.3g}" for part in parts),
            setting.spread(read) if read else "",
            setting.spread([load["peak_bytes"] / (1 << 20) for load in loads if load["peak_bytes"]] or [0.0]),
        )
    if executable:
        setting.print_row(executable.name, "start", setting.spread(starts), "", "", "", "")


def empty_file_cache(folder: Path) -> None:
    """Have the folder's files read from the disk when they are next used; Linux alone does so without an administrator.

    posix_fadvise(2), POSIX_FADV_DONTNEED: clean pages that no process maps leave the cache, so that files that another
    process uses stay. A disk may have a cache of its own: a virtual one its host's.
    """
    posix: Any = os
    for file in filter(Path.is_file, folder.rglob("*")):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            posix.fdatasync(descriptor)  # what is not written yet stays
            posix.posix_fadvise(descriptor, 0, 0, posix.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def load(build: Any, flags: list[str], way: str, folder: Path) -> dict[str, Any]:
    """What a fresh interpreter says that has loaded this way."""
    import setting

    program = [str(build.interpreter()), "-I", "-S", *([] if flags else ["-B"]), *flags, str(HERE), "--child"]
    given = (build.site_packages, way, setting.FIXED, setting.MOVING, repr(time.time()))
    env = {"OPENBLAS_NUM_THREADS": "1"} if way in ("pool", "fork") else {}
    answer: dict[str, Any] = setting.answer_of([*program, *map(str, given)], folder, env)
    return answer


# ---- the child: standard library and itk alone -----------------------------------------------------------------------

PARTS = ("import_itk", "read_images", "registration_class")
Lap = Callable[[str], None]


def _posted(files: list[str], lap: Lap) -> None:
    import itk

    lap("import_itk")
    images = [itk.imread(file, itk.F) for file in files]
    lap("read_images")
    itk.ElastixRegistrationMethod[type(images[0]), type(images[1])].New()
    lap("registration_class")


def _class_first(files: list[str], lap: Lap) -> None:
    import itk

    lap("import_itk")
    image = itk.Image[itk.F, 2]
    itk.ElastixRegistrationMethod[image, image].New()
    lap("registration_class")
    for file in files:
        itk.imread(file, itk.F)
    lap("read_images")


def _gc_off(files: list[str], lap: Lap) -> None:
    import gc

    gc.disable()
    _posted(files, lap)
    gc.enable()


def _modules(files: list[str], lap: Lap) -> None:
    importlib.import_module("itk")
    lap("import_itk")
    method: Any = importlib.import_module("itk.itkElastixRegistrationMethodPython")
    method.itkElastixRegistrationMethodIF2IF2.New()
    lap("registration_class")
    reader: Any = importlib.import_module("itk.itkImageFileReaderPython")
    for file in files:
        reading = reader.itkImageFileReaderIF2.New()
        reading.SetFileName(file)
        reading.Update()
    lap("read_images")


def _pool(files: list[str], lap: Lap) -> None:
    _load_as_the_pool()
    _modules(files, lap)


def _load_as_the_pool() -> None:
    spec = importlib.util.spec_from_file_location("elastix_pool", HERE.parents[1] / "recipe" / "elastix_pool.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["elastix_pool"] = module
    spec.loader.exec_module(module)
    module._load()


WAYS = {
    "posted": _posted,
    "class-first": _class_first,
    "gc-off": _gc_off,
    "modules": _modules,
    "pool": _pool,
    "fork": _modules,
}


def child(site_packages: str, way: str, fixed: str, moving: str, begin: str) -> None:
    """Load, and say how long it took: since the parent began, of a fork since the fork."""
    sys.path.insert(0, site_packages)
    parts: dict[str, float] = {}
    began = float(begin)
    if way == "fork":
        _load_as_the_pool()
        began = time.time()
        posix: Any = os  # Windows has no fork
        if number := posix.fork():
            os._exit(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
    since = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal since
        now = time.perf_counter()
        parts[part], since = now - since, now

    WAYS[way]([fixed, moving], lap)
    wall_s, used = time.time() - began, os.times()
    sys.path.insert(0, str(HERE.parents[1] / "src" / "repro" / "system"))
    process: Any = importlib.import_module("used")  # what the worker and the launcher use

    answer = {
        "wall_s": wall_s,
        "cpu_s": used.user + used.system,
        "parts": parts,
        "disk_bytes": process.disk_bytes(),
        "peak_bytes": process.peak_bytes(),
    }
    print(json.dumps(answer), flush=True)
    os._exit(0)  # tearing itk down takes seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
