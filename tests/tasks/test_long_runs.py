"""Very many trials leave the parent as it was, and results name nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from repro.model import Measurement
from repro.paths import ROOT
from support.made_up import build as made_up


class Watch(made_up.Quiet):
    """Counts what this process holds after each trial."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[int, int]] = []

    def trial_finished(self, work: object, measurement: Measurement) -> None:
        count = "num_handles" if sys.platform == "win32" else "num_fds"
        self.held.append((getattr(psutil.Process(), count)(), threading.active_count()))


def test_many_trials_open_nothing_and_start_no_thread(tmp_path: Path) -> None:
    watch = Watch()
    summary = made_up.run(tmp_path / "out", made_up.works(tmp_path / "builds", blocks=2, rounds=25), watch)
    assert not summary.failed
    assert len(watch.held) == 2 * 2 * 26
    # The launcher and the worker are started by the first trials of their kind.
    assert max(watch.held[10:]) == watch.held[10]


def test_results_name_no_user_home_checkout_host_token_or_variable(tmp_path: Path) -> None:
    home = tmp_path / "homes" / "mary.sue"
    home.mkdir(parents=True)
    secrets = {
        "GITHUB_TOKEN": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "HTTPS_PROXY": "http://mary.sue:pa55w0rd@proxy.example:3128",
        "MY_OWN_VARIABLE": "its-own-value",
    }
    who = dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "mary.sue")
    deciding = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "77"}
    paths = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"}
    out = home / "results"
    # The second run fails in both arms: its notes and logs quote what the children said.
    for text in ("(Seconds 0.001)", "(Seconds nonsense)"):
        subprocess.run(
            [sys.executable, made_up.__file__, str(out), str(home / "builds"), "1", "2", "1", text],
            env={**os.environ, **secrets, **who, **deciding, **paths},
            capture_output=True,
            check=False,
        )
    files = [file for file in out.rglob("*") if file.is_file()]
    raw = [file.read_text(encoding="utf-8") for file in files if file.suffix == ".jsonl"]
    assert raw
    assert "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS" in raw[0], "the name of what was kept from the children is told"
    assert '"failed"' in "".join(raw)
    forbidden = [*secrets.values(), "mary.sue", "pa55w0rd", str(home), str(tmp_path), str(ROOT)]
    forbidden += ["GITHUB_TOKEN", "AWS_SECRET", "MY_OWN_VARIABLE"]
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        forbidden.append(host)
    for file in files:
        content = file.read_text(encoding="utf-8", errors="replace")
        assert [word for word in forbidden if word in content] == [], file
