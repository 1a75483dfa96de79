"""With --offline no process of ours opens an internet socket, and each command says what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nosockets
import parts
from repro import layout

pytestmark = pytest.mark.skipif(not nosockets.possible, reason="seccomp is Linux's, on x86-64 or arm64 here")


def run(folder: Path | str, *command: str, status: int | None = None, **variables: str) -> str:
    """What the command says; it must not have been ended for a socket."""
    environment = {name: value for name, value in os.environ.items() if name not in ("REPRO_IMAGES", "REPRO_PAIR")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, nosockets.__file__, str(folder), *command],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != -nosockets.KILLED, "a socket was opened"
    assert "Traceback" not in done.stderr, done.stderr
    assert status is None or done.returncode == status, done.stderr
    return done.stderr


def test_a_socket_would_be_noticed_in_a_child_too() -> None:
    opens = "import socket; socket.socket(socket.AF_INET)"
    child = f"subprocess.run([sys.executable, '-c', {opens!r}]).returncode"
    code = f"import nosockets, subprocess, sys; nosockets.forbid(); sys.exit(-{child})"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False)
    assert done.returncode == nosockets.KILLED


def test_fetch_names_what_each_source_lacks(tmp_path: Path) -> None:
    said = run(tmp_path, "fetch", "0.25.4-5.3.1", "--offline", status=2)
    assert "0.25.4-5.3.1 is unavailable: no executable of elastix 5.3.1: release:" in said
    assert "--offline forbids to download it; run fetch once with network" in said
    assert "debian:" in said
    assert "images 'synthetic' in place of 'posted'" in said


def test_fetch_names_the_wheels_that_uv_does_not_have(tmp_path: Path) -> None:
    program = parts.program(tmp_path / "mine" / "elastix")
    given = ("fetch", "0.25.4-5.3.1", "--offline", "--source", str(program))
    said = run(tmp_path, *given, status=2, UV_CACHE_DIR=str(tmp_path / "uv"), UV_NO_CONFIG="1")
    assert "the wheels of params/wheels/0.25.4-5.3.1.txt could not be installed" in said
    assert "run fetch once with network" in said
    assert "network was disabled" in said  # uv came to its end: it was not ended for a socket
    assert not list((tmp_path / "pairs").glob("[!.]*/"))


def test_bench_runs_what_is_there(tmp_path: Path) -> None:
    said = run(tmp_path, "bench", "0.25.4-5.3.1", "--offline", "--quick", "--out", str(tmp_path / "results"))
    assert "0.25.4-5.3.1 is unavailable: is not fetched; run: python -m repro fetch 0.25.4-5.3.1" in said
    assert "images 'synthetic' in place of 'posted'" in said


def test_bench_all_comes_to_its_report(tmp_path: Path) -> None:
    said = run(tmp_path, "bench-all", "--offline", "--quick", "--out", str(tmp_path / "results"))
    assert "--offline forbids to download it" in said
    assert (tmp_path / "results" / "report.html").is_file()


@pytest.mark.real
def test_a_fetched_pair_registers_by_both_paths_without_a_socket(tmp_path: Path) -> None:
    pair = "0.25.4-5.3.1"
    images = [f"--{name}={layout.DATA / 'synthetic' / name}.tif" for name in ("fixed", "moving")]
    given = ("bench", pair, "--offline", "--experiment", "smoke", "--rounds", "1", *images, "--out", str(tmp_path))
    said = run("-", *given)
    if f"{pair} is unavailable" in said:
        pytest.skip(said)
    (file,) = tmp_path.glob(f"raw/*/{pair}/smoke*.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    measured = [line for line in lines if line["kind"] == "measurement" and line["phase"] == "measure"]
    assert sorted((line["path"], line["status"], line["note"]) for line in measured) == [
        ("api", "ok", ""),
        ("cli", "ok", ""),
    ]
