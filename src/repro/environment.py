"""The environment that children get: an allow-list, and what the condition sets.

Nothing else comes through, so that both paths find the same, a setting of the user's shell cannot
decide a measurement, and no secret reaches a child.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from repro import platforms

_ALLOWED = {
    "posix": ("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TZ", "LC_.*"),
    # What Windows programs and the loader cannot do without.
    "win32": (
        *("PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "USERPROFILE"),
        *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_.*"),
    ),
}

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
    system: str = sys.platform,
) -> dict[str, str]:
    """The whole environment of a child.

    ``extra`` is what the condition sets; ``library_path`` are folders in which the loader looks
    for the child's libraries first.
    """
    allowed = re.compile("|".join(_ALLOWED["win32" if system == "win32" else "posix"]))
    known = {_known_as(name, system): value for name, value in parent.items()}
    environment = {name: value for name, value in known.items() if allowed.fullmatch(name)}
    environment |= extra
    if library_path:
        variable = platforms.library_path_variable(system)
        separator = ";" if system == "win32" else ":"
        environment[variable] = separator.join(filter(None, (library_path, environment.get(variable))))
    return environment


def removed(parent: Mapping[str, str] = os.environ, system: str = sys.platform) -> list[str]:
    """Names of variables that would have decided a measurement and were kept from the children."""
    kept = child_environment({}, parent=parent, system=system)
    known = {_known_as(name, system) for name in parent}
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


def _known_as(name: str, system: str) -> str:
    """Windows does not tell cases apart, and Python writes them all in capitals there."""
    return name.upper() if system == "win32" else name
