"""A child that makes the pool of recipe.py beside it, and does one batch with it.

    python -I -S poolchild.py SITE_PACKAGES

Reads one JSON request on stdin, ``fixed``, ``moving``, ``parameter_files``, ``outputs`` (a folder for each
registration), ``workers``, ``threads`` and ``threader`` (or null), and answers with one line: ``results_s``, the
seconds from the request to each result, or ``error``. The pool is made once the request is there.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any


def _recipe() -> Any:
    spec = importlib.util.spec_from_file_location("recipe", Path(__file__).with_name("recipe.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe"] = module
    spec.loader.exec_module(module)
    return module


def batch(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds until each result is there, from now on."""
    begin, results_s = time.perf_counter(), []
    files = (request["fixed"], request["moving"], request["parameter_files"])
    threader = {"threader": request["threader"]} if request["threader"] else {}
    with _recipe().ElastixPool(request["workers"], request["threads"], **threader) as pool:
        futures = [pool.submit(*files, output_directory=output) for output in request["outputs"]]
        for future in as_completed(futures):
            results_s.append(time.perf_counter() - begin)
            future.result()
    return {
        "results_s": results_s,
        "python": sys.version.split()[0],
        "itk_elastix": importlib.metadata.version("itk-elastix"),
    }


def main() -> None:
    """Answer one request."""
    sys.path.insert(0, sys.argv[1])
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what C++ prints is no answer
    print(json.dumps({"hello": os.getpid()}), file=protocol, flush=True)
    try:
        answer = batch(json.loads(sys.stdin.readline()))
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=protocol, flush=True)


if __name__ == "__main__":
    main()
