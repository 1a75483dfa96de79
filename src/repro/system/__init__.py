"""Everything that differs between Linux, macOS and Windows, in one place.

    system      which system this is, and what it can do
    programs    executables, their libraries, paths
    variables   the environment
    processes   starting, pipes, killing, streams
    launcher    the small process that starts and times children; on Linux and macOS with unix, else windows
    used        what a process has used: CPU seconds, memory
    hardware    what the system tells about the machine
    filecache   emptying the file cache
    forking     copies of a process

Nothing else asks which system it runs on, but `recipe`, which people copy and which stands alone. Functions take the
system as an argument, so that tests exercise every branch on any system. The first four are used through this name.
"""

from repro.system.processes import (
    adopt_orphans,
    alarm,
    ending_with_us,
    kill_session,
    pass_pipes,
    reap,
    speak_utf8,
    thin_python,
    try_lock,
)
from repro.system.programs import (
    executable_name,
    libraries_beside,
    library_path_variable,
    long_path,
    python_of,
    venv_programs,
)
from repro.system.system import (
    SYSTEM,
    can_empty_file_cache,
    can_fork_loaded,
    can_pass_descriptors,
    can_run_scripts,
    current_platform,
    ignores_case,
    keeps_certificates,
    users_shell,
)
from repro.system.variables import is_kept, known_as, path_separator

__all__ = [
    "SYSTEM",
    "adopt_orphans",
    "alarm",
    "can_empty_file_cache",
    "can_fork_loaded",
    "can_pass_descriptors",
    "can_run_scripts",
    "current_platform",
    "ending_with_us",
    "executable_name",
    "ignores_case",
    "is_kept",
    "keeps_certificates",
    "kill_session",
    "known_as",
    "libraries_beside",
    "library_path_variable",
    "long_path",
    "pass_pipes",
    "path_separator",
    "python_of",
    "reap",
    "speak_utf8",
    "thin_python",
    "try_lock",
    "users_shell",
    "venv_programs",
]
