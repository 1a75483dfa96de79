"""A Python program that runs batches of registrations by one strategy: what a user's program would do.

    python -I -S batch_host.py SITE_PACKAGES

It speaks like ``worker.py``. ``load`` has besides ``strategy``, ``jobs`` (K), ``threads`` and ``threader``: it makes K
registrations possible side by side and answers once all have loaded. ``{"op": "batch", "jobs": [...]}`` runs the
registrations, K at a time, and answers with the wall seconds and, for each, when it began and ended and what its worker
said. Strategies: see ``repro.model.Strategy``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from queue import SimpleQueue
from typing import IO, Any

Message = dict[str, Any]
Register = Callable[[Message], Message]
"""Runs one registration; called from K threads at a time."""
Pipe = tuple[IO[str], IO[str]]
"""What to write to, and what to read from."""

_POOL = "../../../recipe/elastix_pool"


def _neighbour(name: str) -> Any:
    file = pathlib.Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


worker: Any = _neighbour("worker")


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
        self.register, loaded = _STRATEGIES[request["strategy"]](request)
        self.waiting = ThreadPoolExecutor(request["jobs"])
        return {"parts": {"ready": time.perf_counter() - begin}, "said": loaded["said"]}

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
    return one.register, one.load(request)


class Workers:
    """Processes of ``worker.py`` that have loaded."""

    def __init__(self, pipes: list[Pipe]) -> None:
        self.idle: SimpleQueue[Pipe] = SimpleQueue()
        for pipe in pipes:
            self.idle.put(pipe)

    def register(self, job: Message) -> Message:
        """One registration in a worker that has nothing to do."""
        pipe = self.idle.get()
        try:
            _send(pipe, {"op": "register", **job})
            return _receive(pipe)
        finally:
            self.idle.put(pipe)


def spawned(request: Message) -> tuple[Register, Message]:
    """K fresh interpreters, which load side by side."""
    pipes = [_spawn() for _ in range(request["jobs"])]
    for pipe in pipes:
        _receive(pipe)  # its greeting
        _send(pipe, {**request, "op": "load"})
    loaded = [_receive(pipe) for pipe in pipes]
    return Workers(pipes).register, loaded[0]


def plugin(request: Message) -> tuple[Register, Message]:
    """The same, loaded as everybody does."""
    return spawned({**request, "by": "posted"})


def _spawn() -> Pipe:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", worker.__file__, sys.argv[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def forked(request: Message) -> tuple[Register, Message]:
    """K copies of this process, made once it has loaded and before it has any other thread."""
    one = worker.Worker()
    loaded = one.load(request)
    return Workers([_fork(one) for _ in range(request["jobs"])]).register, loaded


def _fork(one: Any) -> Pipe:
    ours, theirs = socket.socketpair()
    posix: Any = os  # Windows has no fork
    if posix.fork() == 0:
        try:
            ours.close()
            worker.serve(one.answer, theirs.makefile("r"), theirs.makefile("w"))
        finally:
            os._exit(0)
    theirs.close()
    return ours.makefile("w"), ours.makefile("r")


def pooled(request: Message) -> tuple[Register, Message]:
    """The recipe as it is; it ends with this process."""
    if request["path"] != "api":
        raise ValueError("the pool is for itk-elastix")
    options = {"threader": request["threader"]} if request["threader"] else {}
    pool = _neighbour(_POOL).ElastixPool(request["jobs"], request["threads"] or 1, **options)
    pool.wait_until_loaded()
    images = request["images"]
    masks = {name: file for name, file in images.items() if name.endswith("mask")}

    def register(job: Message) -> Message:
        given = dict(job["given"])
        initial = given.pop("initial_transform", None)
        if given:
            raise ValueError("the pool takes no point sets")
        submitted = pool.submit(
            images["fixed"],
            images["moving"],
            job["parameter_files"],
            output_directory=job["output"],
            initial_transform=initial,
            **masks,
        )
        submitted.result()
        return {}

    said = {"python": sys.version.split()[0], "itk": metadata.version("itk-core")}
    return register, {"said": {**said, "itk_elastix": metadata.version("itk-elastix")}}


_STRATEGIES = {"threads": threads, "spawned": spawned, "plugin": plugin, "forked": forked, "pool": pooled}


def _send(pipe: Pipe, request: Message) -> None:
    pipe[0].write(json.dumps(request) + "\n")
    pipe[0].flush()


def _receive(pipe: Pipe) -> Message:
    """The worker's answer. Raises RuntimeError where it fails or is gone."""
    answer: Message = json.loads(pipe[1].readline() or '{"error": "a worker is gone"}')
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


if __name__ == "__main__":
    worker.main(Host())
