"""The environment that children get: an allow-list, and what the condition sets.

Nothing else comes through: both arms find the same, no setting of the user's shell decides a measurement, and no secret
reaches a child.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from repro.system.platforms import SYSTEM, library_path_variable, path_separator

_KEPT = {
    "posix": ("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TZ", "LC_.*"),
    # What Windows programs and the loader cannot do without.
    "win32": (
        *("PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "USERPROFILE"),
        *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_.*"),
    ),
}
# Variables that decide how ITK and what stands below it run. ITK: read in itkMultiThreaderBase.cxx (NSLOTS before
# ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS, which wins), itkDynamicLoader and itkObjectFactoryBase (ITK_AUTOLOAD_PATH),
# itkFFTWGlobalConfiguration, itkNiftiImageIO. The others by their prefix: OpenMP (OMP_, GOMP_, KMP_), TBB, OpenBLAS,
# MKL, BLIS, macOS' Accelerate, numpy, Python, glibc's allocator and the loader itself.
_DECIDING = re.compile(
    r"(ITK_|NSLOTS$|ELASTIX|OMP_|GOMP_|KMP_|TBB_|OPENBLAS_|GOTO_|MKL_|BLIS_|VECLIB_|NUMEXPR_|NPY_|NUMPY_|PYTHON"
    r"|MALLOC_|GLIBC_TUNABLES$|LD_|DYLD_)"
)


def child_environment(
    extra: Mapping[str, str],
    library_path: str | None = None,
    parent: Mapping[str, str] = os.environ,
    system: str = SYSTEM,
) -> dict[str, str]:
    """The whole environment of a child.

    ``extra`` is what the condition sets; in the folders of ``library_path`` the loader looks first.
    """
    environment = {name: value for name, value in _by_name(parent, system).items() if _is_kept(name, system)}
    environment |= extra
    if library_path:
        variable = library_path_variable(system)
        folders = filter(None, (library_path, environment.get(variable)))
        environment[variable] = path_separator(system).join(folders)
    return environment


def removed(parent: Mapping[str, str] = os.environ, system: str = SYSTEM) -> list[str]:
    """Names of variables that would have decided a measurement and were kept from the children."""
    return sorted(name for name in _by_name(parent, system) if _DECIDING.match(name) and not _is_kept(name, system))


def itk_environment(machine_threads: int | None, threader: str | None) -> dict[str, str]:
    """Variables that make ITK find so many threads, and use that threader.

    None leaves ITK its own default. ITK reads both once per process. Platform, Pool and TBB are the threader's values
    (ITK's migration guide for version 5); an unknown word, or TBB in an ITK without it, is ITK's to refuse.
    """
    wanted = {
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": None if machine_threads is None else str(machine_threads),
        "ITK_GLOBAL_DEFAULT_THREADER": threader,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _by_name(variables: Mapping[str, str], system: str) -> dict[str, str]:
    """Windows does not tell cases apart, and Python writes all names in capitals there."""
    return {name.upper() if system == "win32" else name: value for name, value in variables.items()}


def _is_kept(name: str, system: str) -> bool:
    return re.fullmatch("|".join(_KEPT.get(system, _KEPT["posix"])), name) is not None
