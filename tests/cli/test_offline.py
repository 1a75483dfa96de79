"""With --offline no process of ours opens an internet socket, and each command says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro.errors import UnavailableError
from repro.model import Measurement, read_line
from repro.paths import DATA, ROOT
from support import nosockets

pytestmark = pytest.mark.skipif(not nosockets.possible, reason="seccomp is Linux's, on x86-64 or arm64 here")
PAIR = "0.25.4-5.3.1"
FORBIDDEN = "--offline forbids to download it; run fetch once with network"


def run(folder: Path | str, *command: str, status: int, **variables: str) -> str:
    """What the command says; it must not have been ended for a socket."""
    environment = {name: value for name, value in os.environ.items() if name not in ("REPRO_IMAGES", "REPRO_PAIR")}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, nosockets.__file__, str(folder), *command],
        env={**environment, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode != -nosockets.KILLED, "a socket was opened"
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture
def uv(tmp_path: Path) -> dict[str, str]:
    """A uv that has no wheels yet."""
    return {"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_NO_CONFIG": "1"}


def test_a_socket_would_be_noticed_in_a_child_too() -> None:
    opens = "import socket; socket.socket(socket.AF_INET)"
    child = f"subprocess.run([sys.executable, '-c', {opens!r}]).returncode"
    code = f"import nosockets, subprocess, sys; nosockets.forbid(); sys.exit(-{child})"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(nosockets.__file__).parent, check=False)
    assert done.returncode == nosockets.KILLED


def test_fetch_names_what_each_source_lacks(tmp_path: Path, uv: dict[str, str]) -> None:
    said = run(tmp_path, "fetch", PAIR, "--offline", "-v", status=2, **uv)
    assert "cli:5.3.1: no executable of elastix 5.3.1: release:" in said
    assert FORBIDDEN in said
    assert "debian:" in said
    assert "images 'synthetic' are used instead" in said


def test_fetch_names_the_wheels_that_uv_does_not_have(tmp_path: Path, uv: dict[str, str]) -> None:
    said = run(tmp_path, "fetch", "api:0.25.4", "--offline", "-v", status=2, **uv)
    assert "not fetched: api:0.25.4: " in said
    assert "network was disabled" in said, "uv must come to its end"
    assert not list((tmp_path / "builds").glob("[!.]*/"))


def test_bench_all_says_what_it_cannot_measure(tmp_path: Path, uv: dict[str, str]) -> None:
    said = run(tmp_path, "bench-all", "--offline", "--quick", "--out", str(tmp_path / "results"), status=2, **uv)
    assert "not measured: " in said
    assert PAIR in said
    assert "not fetched" in said
    assert not list((tmp_path / "results").glob("raw/*/*/*.jsonl"))


@pytest.mark.real
def test_a_fetched_pair_registers_by_both_paths_without_a_socket(tmp_path: Path) -> None:
    from repro.builds.installed import load

    try:
        load("api:0.25.4")
        load("cli:5.3.1")
    except UnavailableError as error:
        pytest.skip(str(error))
    images = [word for name in ("fixed", "moving") for word in (f"--{name}", str(DATA / "synthetic" / f"{name}.tif"))]
    run("-", "bench", PAIR, "--offline", "--experiment", "smoke", *images, "--out", str(tmp_path), status=0)
    lines = [
        read_line(line) for file in tmp_path.glob("raw/*/smoke/*.jsonl") for line in file.read_bytes().splitlines()
    ]
    measured = {(line.side, line.status) for line in lines if isinstance(line, Measurement)}
    assert measured == {("base", "ok"), ("other", "ok")}
