"""Launch commands one at a time and time them, from a process that stays small.

Run as ``python -I -S launcher.py CONTROL ANSWER``: standard library only, nothing of the project but its neighbours
``used`` and ``unix`` or ``windows``. The process that runs a benchmark is fat (tables, plots, statistics); a child
started from it would carry the parent's peak memory into its own ``ru_maxrss`` (Linux keeps the peak of the image that
called ``exec``), and its threads would disturb the timing. So the fat process asks this thin one.

CONTROL and ANSWER are two pipes (file descriptors; handles on Windows). On CONTROL come requests, one JSON object a
line (``children.py`` writes them):

    argv, env, cwd, stdin/stdout/stderr (a path, "inherit", or null for nothing), timeout_s,
    memory_limit_bytes, output_limit_bytes, once

On ANSWER goes ``{"pid": ..., "start": perf_counter}`` as soon as the child runs, then its outcome (``Host.run``), or
``{"error": ...}`` instead where it could not be started. The end of CONTROL, as when the parent was killed, ends the
child and this process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


def main(control: int, answer: int) -> int:
    """Serve requests until the control pipe ends; the status is that of the process."""
    host = _host(control)
    gc.disable()  # no collection while a child is timed
    while (request := host.next_request()) is not None:
        _send(answer, _answer(host, request, lambda pid, start: _send(answer, {"pid": pid, "start": start})))
        gc.collect()
        if request.get("once"):
            break
    return 0


def _answer(host: Any, request: Message, started: Callable[[int, float], None]) -> Message:
    try:
        return dict(host.run(request, started))
    except Exception as error:  # the parent has to hear of it, whatever it is
        return {"error": f"{type(error).__name__}: {error}"}


def _host(control: int) -> Any:
    sys.path.append(os.path.dirname(__file__))  # noqa: PTH120 - pathlib would make this process bigger
    used = importlib.import_module("used")
    if sys.platform == "win32":
        return importlib.import_module("windows").Host(control, used.of_windows_process)
    return importlib.import_module("unix").Host(control, used.of_rusage)


def _send(pipe: int, message: Message) -> None:
    data = json.dumps(message).encode() + b"\n"
    with contextlib.suppress(OSError):  # the parent is gone; the end of the control pipe says so too
        while data:
            data = data[os.write(pipe, data) :]


def _descriptors(words: list[str]) -> list[int]:
    if sys.platform == "win32":
        import msvcrt

        return [msvcrt.open_osfhandle(int(word), 0) for word in words]
    return [int(word) for word in words]


if __name__ == "__main__":
    sys.exit(main(*_descriptors(sys.argv[1:3])))
