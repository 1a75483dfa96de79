"""No shell, an allow-list for children, and results that name no user, folder or secret."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import madeuprun
from repro import layout

SOURCE = layout.ROOT / "src"
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "cmd", "cmd.exe", "powershell", "pwsh"}
_EXCUSED = {"bench_launcher.py"}  # compares the launcher with a command that a bare shell times


def launches_a_shell(code: str) -> list[str]:
    """What in the code starts a shell: functions that do, `shell=True`, a shell's name as a word of a command."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=("system" | "popen") as name):
                found.append(f"os.{name}")
            case ast.Attribute(attr=("getoutput" | "getstatusoutput" | "create_subprocess_shell") as name):
                found.append(name)
            case ast.keyword(arg="shell", value=value) if not (
                isinstance(value, ast.Constant) and value.value is False
            ):
                found.append("shell=")
            case (
                ast.List(elts=[ast.Constant(value=str(word)), *_]) | ast.Tuple(elts=[ast.Constant(value=str(word)), *_])
            ):
                if word.rpartition("/")[2] in _SHELLS:
                    found.append(word)
    return found


def test_a_shell_is_seen() -> None:
    for code in ("os.system('x')", "subprocess.run(x, shell=True)", "run(['/bin/sh', '-c', x])", "getoutput"):
        assert launches_a_shell(code) or code == "getoutput"
    assert launches_a_shell("subprocess.run(['ls'], shell=False)") == []


def test_no_shell_launches_anything() -> None:
    found = {
        file.relative_to(layout.ROOT).as_posix(): shells
        for folder in ("src", "tasks")
        for file in (layout.ROOT / folder).rglob("*.py")
        if file.name not in _EXCUSED and (shells := launches_a_shell(file.read_text(encoding="utf-8")))
    }
    assert found == {}


ALLOWED = ("child_environment(", "request['env']")


def starts(code: str) -> list[str]:
    """The environment that each process started in the code gets, as written there; empty: all of ours."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [
        next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "env"), "")
        for call in calls
        if ast.unparse(call.func) in ("subprocess.run", "subprocess.Popen")
    ]


def test_every_process_gets_an_allow_list_but_those_that_fetch() -> None:
    assert starts("subprocess.run(a, env=x)\nsubprocess.Popen(b)") == ["x", ""]
    others = {
        file.relative_to(SOURCE / "repro").as_posix(): given
        for file in (SOURCE / "repro").rglob("*.py")
        if (given := {one for one in starts(file.read_text(encoding="utf-8")) if not one.startswith(ALLOWED)})
    }
    assert others == {
        # uv and apt get the user's own: proxies, certificates and indexes stand there.
        "wheels.py": {"environment()"},
        "pairadd.py": {"wheels.environment() | {'MACOSX_DEPLOYMENT_TARGET': _NEWEST_MACOS}"},
        "apt.py": {"dict(self.environment)", ""},
        # In a process that has the list alone.
        "batchworker.py": {""},
        # A script for people, who start it themselves.
        "recipe.py": {""},
    }


def test_results_name_no_user_home_checkout_host_token_or_variable(tmp_path: Path) -> None:
    home = tmp_path / "homes" / "mary.sue"
    home.mkdir(parents=True)
    secrets = {
        "GITHUB_TOKEN": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "HTTPS_PROXY": "http://mary.sue:pa55w0rd@proxy.example:3128",
        "MY_OWN_VARIABLE": "its-own-value",
    }
    telling = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "77"}
    who = dict.fromkeys(("USER", "LOGNAME", "USERNAME", "LNAME"), "mary.sue")
    environment = {**os.environ, **secrets, **telling, **who, "HOME": str(home), "USERPROFILE": str(home)}
    out = home / "results"
    # The second run fails in both paths: its notes and logs quote what the children said.
    for arguments in ((), ("--seconds", "nonsense")):
        subprocess.run(
            [sys.executable, madeuprun.__file__, str(out), "--rounds", "1", *arguments],
            env={**environment, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            check=False,
        )
    files = [file for file in out.rglob("*") if file.is_file()]
    assert {"comparison.csv", "made-up.jsonl", "worker-condition-1.log"} <= {file.name for file in files}
    forbidden = [*secrets.values(), "mary.sue", "pa55w0rd", str(home), str(tmp_path), str(layout.ROOT)]
    forbidden += ["GITHUB_TOKEN", "AWS_SECRET", "MY_OWN_VARIABLE"]
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        forbidden.append(host)
    for file in files:
        content = file.read_text(encoding="utf-8", errors="replace")
        assert [word for word in forbidden if word in content] == [], file
    raw = next(file for file in files if file.name == "made-up.jsonl").read_text(encoding="utf-8")
    assert "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS" in raw, "the name of what was kept from the children is told"
    assert "invalid literal" in raw or "could not convert" in raw or "nonsense" in raw, "the failure is quoted"
