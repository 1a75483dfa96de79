"""The environment that children get: an allow-list, and what the condition sets.

Nothing else comes through, so that both paths find the same, a setting of the user's shell cannot
decide a measurement, and no secret reaches a child.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from repro import system as platforms

# Variables that decide how ITK and what stands below it run. ITK: read in itkMultiThreaderBase.cxx
# (NSLOTS before ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS, which wins), itkDynamicLoader and
# itkObjectFactoryBase (ITK_AUTOLOAD_PATH), itkFFTWGlobalConfiguration, itkNiftiImageIO. The others
# by their prefix: OpenMP (OMP_, GOMP_, KMP_), TBB, OpenBLAS, MKL, BLIS, macOS' Accelerate, numpy,
# Python, glibc's allocator and the loader itself.
_TELLING = re.compile(
    r"(ITK_|NSLOTS$|ELASTIX|OMP_|GOMP_|KMP_|TBB_|OPENBLAS_|GOTO_|MKL_|BLIS_|VECLIB_|NUMEXPR_|NPY_|NUMPY_|PYTHON"
    r"|MALLOC_|GLIBC_TUNABLES$|LD_|DYLD_)"
)


def child_environment(
    extra: Mapping[str, str],
    library_path: str | None = None,
    parent: Mapping[str, str] = os.environ,
    system: str = platforms.SYSTEM,
) -> dict[str, str]:
    """The whole environment of a child.

    ``extra`` is what the condition sets; ``library_path`` are folders in which the loader looks
    for the child's libraries first.
    """
    known = {platforms.known_as(name, system): value for name, value in parent.items()}
    environment = {name: value for name, value in known.items() if platforms.is_kept(name, system)}
    environment |= extra
    if library_path:
        variable = platforms.library_path_variable(system)
        folders = filter(None, (library_path, environment.get(variable)))
        environment[variable] = platforms.path_separator(system).join(folders)
    return environment


def removed(parent: Mapping[str, str] = os.environ, system: str = platforms.SYSTEM) -> list[str]:
    """Names of variables that would have decided a measurement and were kept from the children."""
    kept = child_environment({}, parent=parent, system=system)
    known = {platforms.known_as(name, system) for name in parent}
    return sorted(name for name in known if _TELLING.match(name) and name not in kept)


def itk_environment(machine_threads: int | None, threader: str | None) -> dict[str, str]:
    """Variables that make ITK find so many threads, and use that threader.

    None leaves ITK its own default. ITK reads both once per process. Platform, Pool and TBB are
    the threader's values (ITK's migration guide for version 5); an unknown word, or TBB in an ITK
    without it, is ITK's to refuse.
    """
    wanted = {
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": None if machine_threads is None else str(machine_threads),
        "ITK_GLOBAL_DEFAULT_THREADER": threader,
    }
    return {name: value for name, value in wanted.items() if value is not None}
