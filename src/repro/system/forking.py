"""A copy of this process, where ``can_fork_loaded``.

Standard library only and nothing of the project, so that a worker can import this file alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def fork(child: Callable[[], object]) -> int:
    """Call this in a copy of this process, which ends with it; the copy's number. Raises OSError where none is made."""
    if sys.platform == "win32":
        raise OSError("Windows does not copy processes")
    number = os.fork()
    if number == 0:
        try:
            child()
        finally:
            os._exit(0)
    return number
