"""A Python program that runs batches of registrations by one strategy: what a user's program would do.

    python -I -S batchworker.py SITE_PACKAGES

It speaks like ``worker.py``. ``{"op": "load", "strategy": ..., "jobs": K, "fixed": ..., "moving": ...,
"threads": ..., "threader": ...}`` makes K registrations possible side by side and answers once all have
loaded; ``{"op": "batch", "jobs": [...]}`` runs the registrations, K at a time, and answers with the wall
seconds and, for each, when it began and ended and what its worker said.

Strategies: ``threads`` of this process; workers ``spawned`` as fresh interpreters, or ``forked`` from this
process once it has loaded itk; ``recipe``, the pool of ``recipe.py``.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

_HERE = str(pathlib.Path(__file__).parent)
sys.path.insert(0, _HERE)
worker: Any = importlib.import_module("worker")
recipe: Any = importlib.import_module("recipe")
forking: Any = worker.neighbour("../system/forking")
sys.path.remove(_HERE)  # itk must not find the project's modules

Message = dict[str, Any]
Register = Callable[[Message], Message]
"""Runs one registration; called from K threads at a time."""


class Host:
    """The strategy, once it is known, and the threads that wait for its registrations."""

    def __init__(self) -> None:
        self.register: Register
        self.waiting: ThreadPoolExecutor

    def answer(self, request: Message) -> Message:
        """The answer to one request."""
        return {"load": self.load, "batch": self.batch}[request["op"]](request)

    def load(self, request: Message) -> Message:
        """Make the strategy ready; the seconds that took, and the versions."""
        begin = time.perf_counter()
        self.register, versions = _STRATEGIES[request["strategy"]](request)
        self.waiting = ThreadPoolExecutor(request["jobs"])
        return {"parts": {"ready": time.perf_counter() - begin}, **versions}

    def batch(self, request: Message) -> Message:
        """Run the registrations; seconds are from the start of the batch."""

        def one(job: Message) -> Message:
            begin_s = time.perf_counter() - begin
            return {**self.register(job), "begin_s": begin_s, "end_s": time.perf_counter() - begin}

        begin = time.perf_counter()
        answers = list(self.waiting.map(one, request["jobs"]))
        return {"wall_s": time.perf_counter() - begin, "answers": answers}


def threads(request: Message) -> tuple[Register, Message]:
    """The threads that wait are the ones that work."""
    one = worker.Worker()
    loaded = one.load(request)
    return one.register, _versions(loaded)


class Workers:
    """Processes of ``worker.py`` that have loaded, each with the two ends of its pipe."""

    def __init__(self, pipes: list[tuple[IO[str], IO[str]]]) -> None:
        self.idle = pipes

    def register(self, job: Message) -> Message:
        """One registration in a worker that has nothing to do."""
        pipe = self.idle.pop()
        try:
            return ask(pipe, {"op": "register", **job})
        finally:
            self.idle.append(pipe)


def spawned(request: Message) -> tuple[Register, Message]:
    """K fresh interpreters, which load side by side."""
    pipes = [_spawn() for _ in range(request["jobs"])]
    for pipe in pipes:
        _receive(pipe)  # its greeting
        _send(pipe, {**request, "op": "load"})
    loaded = [_receive(pipe) for pipe in pipes]
    return Workers(pipes).register, _versions(loaded[0])


def _spawn() -> tuple[IO[str], IO[str]]:
    command = [sys.executable, "-I", "-S", worker.__file__, sys.argv[1]]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def forked(request: Message) -> tuple[Register, Message]:
    """K copies of this process, made once it has loaded and before it has any other thread."""
    one = worker.Worker()
    loaded = one.load(request)
    return Workers([_fork(one) for _ in range(request["jobs"])]).register, _versions(loaded)


def _fork(one: Any) -> tuple[IO[str], IO[str]]:
    ours, theirs = socket.socketpair()

    def child() -> None:
        ours.close()
        worker.serve(one.answer, theirs.makefile("r"), theirs.makefile("w"))

    forking.fork(child)
    theirs.close()
    return ours.makefile("w"), ours.makefile("r")


def pooled(request: Message) -> tuple[Register, Message]:
    """The recipe as it is; its pool ends with this process."""
    options = {"threader": request["threader"]} if request["threader"] else {}
    pool = recipe.ElastixPool(request["jobs"], request["threads"], **options)
    for one in pool._workers:  # each answers once it has loaded
        one._ask({})
    images = request["fixed"], request["moving"]

    def register(job: Message) -> Message:
        pool.submit(*images, job["parameter_files"], output_directory=job["output"]).result()
        return {}

    metadata = importlib.import_module("importlib.metadata")
    versions = {name.replace("-", "_"): metadata.version(name) for name in ("itk", "itk-elastix")}
    return register, {"python": sys.version.split()[0], **versions}


_STRATEGIES = {"threads": threads, "spawned": spawned, "forked": forked, "recipe": pooled}


def ask(pipe: tuple[IO[str], IO[str]], request: Message) -> Message:
    """The worker's answer. Raises RuntimeError where it fails or is gone."""
    _send(pipe, request)
    return _receive(pipe)


def _send(pipe: tuple[IO[str], IO[str]], request: Message) -> None:
    pipe[0].write(json.dumps(request) + "\n")
    pipe[0].flush()


def _receive(pipe: tuple[IO[str], IO[str]]) -> Message:
    answer: Message = json.loads(pipe[1].readline() or '{"error": "a worker is gone"}')
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def _versions(loaded: Message) -> Message:
    return {name: loaded[name] for name in ("python", "itk", "itk_elastix")}


if __name__ == "__main__":
    worker.main(Host())
