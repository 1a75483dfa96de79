"""A run with secrets, a user and a home of its own leaves none of them in tables, report and pack."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from repro.paths import ROOT
from support.made_up import build as made_up

SECRETS = {
    "GITHUB_TOKEN": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "HTTPS_PROXY": "http://mary.sue:pa55w0rd@proxy.example:3128",
    "MY_OWN_VARIABLE": "its-own-value",
}


def test_tables_report_and_pack_name_no_user_home_checkout_or_secret(tmp_path: Path) -> None:
    home = tmp_path / "homes" / "mary.sue"
    home.mkdir(parents=True)
    who = dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "mary.sue") | {"HOME": str(home)}
    who |= {"USERPROFILE": str(home), "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))}
    out = home / "results"

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **SECRETS, **who},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr

    # The second run fails in both arms: its notes and logs quote what the children said.
    for text in ("(Seconds 0.001)", "(Seconds nonsense)"):
        run(made_up.__file__, str(out), str(home / "builds"), "1", "2", "1", text)
    run("-m", "repro", "merge", "--out", str(out))
    run("-m", "repro", "report", str(out))
    run("-m", "repro", "pack", str(out), "--to", str(home / "given.zip"))
    texts = {file.name: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with zipfile.ZipFile(home / "given.zip") as pack:
        texts |= {f"pack: {name}": pack.read(name) for name in pack.namelist()}
    assert {"comparison.csv", "report.html", "report.md"} <= set(texts)
    forbidden = [*SECRETS, *SECRETS.values(), "mary.sue", "pa55w0rd", str(home), str(tmp_path), str(ROOT)]
    found = {name: [word for word in forbidden if word.encode() in content] for name, content in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}
