"""tasks/run.py: tasks of pixi.toml in order, through pixi or in a private venv; nothing left behind."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cleaning
import launch
import privatevenv
import taskfile
from repro import system as platforms
from waiting import eventually, lives

RUN = launch.ROOT / "tasks" / "run.py"
MANIFEST = {
    "feature": {
        "core": {
            "tasks": {"bench": {"cmd": "python -m repro bench", "default-environment": "default"}},
            "activation": {"env": {"PYTHONPATH": "src"}},
        },
        "a": {"activation": {"env": {"REPRO_PAIR": "A"}}},
        "b": {"activation": {"env": {"REPRO_PAIR": "B"}}},
    },
    "environments": {
        "default": {"features": ["core"]},
        "a": {"features": ["core", "a"], "no-default-feature": True},
        "b": {"features": ["core", "b"], "no-default-feature": True},
    },
    "tasks": {
        "lint": {"cmd": "ruff check", "depends-on": ["_types"], "description": "Style."},
        "_types": "mypy",
        "test": {"cmd": "pytest -m 'not real'", "depends-on": ["lint", {"task": "bench", "args": ["A"]}]},
        "bench-all": {
            "args": [{"arg": "x", "default": "--go-on"}, {"arg": "y", "default": "--go-on"}],
            "depends-on": [
                {"task": "bench", "environment": "a", "args": ["--go-on", "{{ x }}", "{{ y }}"]},
                {"task": "bench", "environment": "b", "args": ["--go-on", "{{ x }}", "{{ y }}"]},
                "lint",
            ],
        },
    },
}
ENVIRONMENTS = taskfile.read_environments(MANIFEST)


def commands(name: str, *arguments: str) -> list[str]:
    return [" ".join(step.command) for step in taskfile.steps(ENVIRONMENTS, name, arguments)]


# The tasks


def test_dependencies_run_first_in_the_order_in_which_they_are_listed() -> None:
    assert commands("test") == ["mypy", "ruff check", "python -m repro bench A", "pytest -m not real"]


def test_arguments_go_to_the_end_of_the_tasks_own_command() -> None:
    assert commands("lint", "--fix", "src") == ["mypy", "ruff check --fix src"]


def test_named_arguments_go_to_the_dependencies_that_ask_for_them() -> None:
    steps = taskfile.steps(ENVIRONMENTS, "bench-all", ["--rounds=3"])
    assert [(step.environment, step.command[4:]) for step in steps[:2]] == [
        ("a", ("--go-on", "--rounds=3", "--go-on")),
        ("b", ("--go-on", "--rounds=3", "--go-on")),
    ]


def test_tasks_outside_the_default_feature_are_not_in_environments_without_it() -> None:
    assert set(ENVIRONMENTS["a"].tasks) == {"bench"}
    assert ENVIRONMENTS["a"].variables == {"PYTHONPATH": "src", "REPRO_PAIR": "A"}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("missing", (), "there is no task 'missing' in environment 'default'; tasks: lint, test, bench-all, bench"),
        ("bench-all", ("1", "2", "3"), "takes at most 2 arguments, here 3"),
    ],
)
def test_a_task_that_cannot_be_run_as_called_is_an_error(name: str, arguments: Sequence[str], message: str) -> None:
    with pytest.raises(taskfile.TaskError, match=message):
        taskfile.steps(ENVIRONMENTS, name, arguments)


def test_a_task_that_depends_on_itself_is_an_error() -> None:
    circle = {"feature": {}, "tasks": {"a": {"depends-on": ["b"]}, "b": {"depends-on": ["a"]}}}
    with pytest.raises(taskfile.TaskError, match="a -> b -> a"):
        taskfile.steps(taskfile.read_environments(circle), "a")


@given(st.lists(st.text(alphabet="abc-=./ ", min_size=1), min_size=1, max_size=5))
def test_quoted_words_of_a_command_come_back(words: list[str]) -> None:
    assert taskfile.split(" ".join(f"'{word}'" for word in words)) == words


@pytest.mark.parametrize("command", ["a && b", "echo $HOME", "a | b", "a > b", "a; b", "ls *.py", "a\nb"])
def test_a_command_that_needs_a_shell_is_an_error(command: str) -> None:
    with pytest.raises(taskfile.TaskError, match="plain command"):
        taskfile.split(command)


# The launcher


def test_an_old_python_gets_a_sentence_and_status_2() -> None:
    code = f"import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path({str(RUN)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tasks/run.py needs Python 3.11 or newer, this is 3.9.2")
    ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 5))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Mapping[str, str]]]:
    """What the launcher would have run."""
    calls: list[tuple[list[str], Mapping[str, str]]] = []

    def call(command: Sequence[str], variables: Mapping[str, str]) -> int:
        calls.append((list(command), variables))
        return 5 if "fail" in command else 0

    monkeypatch.setattr(launch, "call", call)
    return calls


Calls = list[tuple[list[str], Mapping[str, str]]]


def _pixi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = folder / platforms.executable_name("pixi")
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return str(program)


def test_pixi_is_used_where_it_is_installed(called: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixi = _pixi(tmp_path, monkeypatch)
    assert launch.launch(["bench-all", "--quick", "--threads", "4"]) == 0
    assert launch.launch(["lock"]) == 0
    assert [command for command, _ in called] == [
        [pixi, "run", "--locked", "bench-all", "--quick", "--threads", "4"],
        [pixi, "run", "lock"],
    ]


def test_the_venv_is_used_without_pixi_or_where_asked_for(
    called: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pixi(tmp_path, monkeypatch)
    monkeypatch.setattr(privatevenv, "ensure", lambda root, say: Path(sys.prefix))
    assert launch.launch(["--no-pixi", "pairs", "--json"]) == 0
    monkeypatch.setenv("PATH", "")
    assert launch.launch(["pairs", "--json"]) == 0
    assert [command[1:] for command, _ in called] == [["-m", "repro", "pairs", "--json"]] * 2


def test_without_a_task_the_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.launch([]) == 2
    shown = capsys.readouterr().err
    assert "  bench-all  The main job" in shown
    assert "_lint-code" not in shown


def test_an_unknown_task_has_status_2_and_makes_no_venv(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(privatevenv, "ensure", lambda root, say: pytest.fail("made a venv"))
    assert launch.launch(["--no-pixi", "tset"]) == 2
    assert "there is no task 'tset'" in capsys.readouterr().err


def test_each_step_has_its_environments_variables_and_a_failure_ends_the_chain(called: Calls) -> None:
    venv = Path(sys.prefix)
    steps = taskfile.steps(ENVIRONMENTS, "bench-all", [])
    assert launch.run_steps(steps[:2], ENVIRONMENTS, venv) == 0
    assert [variables["REPRO_PAIR"] for _, variables in called] == ["A", "B"]
    failing = taskfile.Step("bench", "a", ("python", "fail"))
    assert launch.run_steps([failing, *steps], ENVIRONMENTS, venv) == 5
    assert len(called) == 3


def test_the_variables_of_a_step_are_the_venvs_own() -> None:
    outer = {"PATH": "/usr/bin", "PYTHONHOME": "/x", "REPRO_PAIR": "old", "PIXI_PROJECT_ROOT": "/y", "LANG": "C"}
    inner = launch.venv_variables(outer, {"PYTHONPATH": "src"}, Path("/venv"))
    assert inner["PATH"] == f"{platforms.venv_programs(Path('/venv'))}{os.pathsep}/usr/bin"
    assert inner["PYTHONPATH"] == "src"
    assert inner["LANG"] == "C"
    assert not {"PYTHONHOME", "REPRO_PAIR", "PIXI_PROJECT_ROOT"} & set(inner)


def test_the_exit_status_is_passed_on() -> None:
    assert launch.call([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_waits_for_the_command_and_has_its_own_status(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    """Ctrl-C reaches all of the group; a polite kill reaches the launcher, which hands it on."""
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    child = (
        "import pathlib, signal, sys, time\n"
        "def end(number, frame):\n"
        f"    pathlib.Path({str(ended)!r}).touch()\n"
        "    sys.exit(128 + number)\n"
        "signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    parent = f"import os, sys, launch; sys.exit(launch.call([sys.executable, '-c', {child!r}], os.environ))"
    variables = {**os.environ, "PYTHONPATH": f"{RUN.parent}{os.pathsep}{launch.ROOT / 'src'}"}
    with subprocess.Popen([sys.executable, "-c", parent], env=variables, start_new_session=True) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        assert process.wait() == status
    assert ended.exists()


# The venv


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_a_command_ends_with_a_killed_run() -> None:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    parent = f"import os, sys, launch; launch.call([sys.executable, '-c', {child!r}], os.environ)"
    variables = {**os.environ, "PYTHONPATH": f"{RUN.parent}{os.pathsep}{launch.ROOT / 'src'}"}
    with subprocess.Popen([sys.executable, "-c", parent], env=variables, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        command = int(run.stdout.readline())
        run.kill()
    assert eventually(lambda: not lives(command))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "tools.txt").write_text("uv==1.0 \\\n    --hash=sha256:0\nzz==2\n")
    return tmp_path


@pytest.fixture
def commands_run(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Takes the place of the programs that make a venv; only its Python appears."""
    run: list[list[str]] = []

    def fake(command: Sequence[str], what: str) -> None:
        run.append(list(command))
        if "venv" in command:
            python = platforms.venv_programs(Path(command[-1])) / platforms.executable_name("python")
            python.parent.mkdir()
            python.touch()

    monkeypatch.setattr(privatevenv, "_run", fake)
    monkeypatch.setattr(privatevenv, "_is_there", lambda module: True)
    return run


def _ensure(checkout: Path) -> Path:
    return privatevenv.ensure(checkout, lambda text: None)


def test_the_venv_is_made_once_and_again_when_its_lock_changes(checkout: Path, commands_run: list[list[str]]) -> None:
    _ensure(checkout)
    made = len(commands_run)
    assert made > 0
    _ensure(checkout)
    assert len(commands_run) == made
    with (checkout / "params" / "tools.txt").open("a") as lock:
        lock.write("more==1\n")
    _ensure(checkout)
    assert len(commands_run) == 2 * made


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users make links")
def test_a_link_to_another_checkouts_venv_is_replaced_and_that_one_stays(
    checkout: Path, tmp_path: Path, commands_run: list[list[str]]
) -> None:
    another = _ensure(checkout).rename(tmp_path / "another")
    (checkout / "params" / "tools.txt").write_text("uv==2 \\\n    --hash=sha256:0\n")
    (checkout / ".venv").symlink_to(another)
    venv = _ensure(checkout)
    assert not venv.is_symlink()
    assert commands_run[0][-1] == commands_run[len(commands_run) // 2][-1] == str(venv)
    assert list(another.iterdir())


def test_everything_is_installed_by_hash_and_pip_installs_uv_alone(
    checkout: Path, commands_run: list[list[str]]
) -> None:
    venv = _ensure(checkout)
    installs = [command for command in commands_run if "install" in command]
    assert all("--require-hashes" in command for command in installs)
    assert [command[-1] for command in installs] == [str(venv / "uv.txt"), str(checkout / "params" / "tools.txt")]
    assert (venv / "uv.txt").read_text() == "uv==1.0 \\\n    --hash=sha256:0"


@pytest.mark.parametrize(
    ("there", "pip"),
    [
        (("ensurepip", "pip"), ["<venv>", "-m", "pip"]),
        (("pip",), ["<base>", "-m", "pip", "--python", "<venv>"]),
        ((), ["<venv>", "<debian>"]),
    ],
)
def test_pip_comes_from_python_else_from_the_system_else_from_debian(
    checkout: Path,
    commands_run: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    there: Sequence[str],
    pip: Sequence[str],
) -> None:
    monkeypatch.setattr(privatevenv, "_is_there", lambda module: module in there)
    monkeypatch.setattr(privatevenv, "_debian_pip", lambda root: root)
    venv = _ensure(checkout)
    base, python = commands_run[0][0], str(next(platforms.venv_programs(venv).glob("python*")))
    names = {base: "<base>", python: "<venv>", str(checkout / "pip"): "<debian>"}
    command = next(command for command in commands_run if str(venv / "uv.txt") in command)
    assert [names.get(word, word) for word in command[: command.index("install")]] == pip


def test_a_venv_that_was_not_finished_is_made_anew(
    checkout: Path, commands_run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = privatevenv._run

    def stopped(command: Sequence[str], what: str) -> None:
        if "install" in command:
            raise privatevenv.VenvError("no network")
        working(command, what)

    monkeypatch.setattr(privatevenv, "_run", stopped)
    with pytest.raises(privatevenv.VenvError, match="no network"):
        _ensure(checkout)
    (checkout / ".venv" / "half-done").touch()
    monkeypatch.setattr(privatevenv, "_run", working)
    venv = _ensure(checkout)
    assert not (venv / "half-done").exists()


def test_a_venv_of_somebody_else_is_left_alone(checkout: Path, commands_run: list[list[str]]) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "precious").touch()
    with pytest.raises(privatevenv.VenvError, match=r"was not made by tasks/run\.py"):
        _ensure(checkout)
    assert (checkout / ".venv" / "precious").exists()
    assert commands_run == []


def test_one_waits_while_another_makes_the_venv(checkout: Path, commands_run: list[list[str]]) -> None:
    _ensure(checkout)
    stamp = checkout / ".venv" / "made-by-tasks-run"
    finished, waits = stamp.read_text(), threading.Event()
    stamp.write_text("")
    commands_run.clear()
    with privatevenv._alone(checkout / ".cache" / "venv.lock", lambda text: None):
        second = threading.Thread(target=privatevenv.ensure, args=(checkout, lambda text: waits.set()))
        second.start()
        assert waits.wait(20)
        stamp.write_text(finished)
    second.join(20)
    assert not second.is_alive()
    assert commands_run == []


def test_a_program_that_fails_says_what_it_said() -> None:
    with pytest.raises(privatevenv.VenvError, match=r"could not count \(status 3\)[\s\S]*last words"):
        privatevenv._run([sys.executable, "-c", "print('last words'); raise SystemExit(3)"], "count")


def test_a_program_that_hangs_is_ended_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privatevenv, "_TIMEOUT_S", 0.2)
    with pytest.raises(privatevenv.VenvError, match=r"could not count within 0\.2 s; .*try again"):
        privatevenv._run([sys.executable, "-c", "import time; time.sleep(60)"], "count")


# Cleaning


def test_everything_that_git_ignores_but_pixis_own_is_removed(tmp_path: Path) -> None:
    ignored = (launch.ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for name in {"/.pairs/", "/.cache/", "/.venv/", "__pycache__/", *ignored} - {"!/results/reference/", "/results/*"}:
        folder = tmp_path / ("src" if name == "__pycache__/" else "") / name.strip("/").replace("*", "x")
        folder.mkdir(parents=True)
        (folder / privatevenv._STAMP).touch()
    cleaning.clean(tmp_path, lambda text: None)
    assert {path.name for path in tmp_path.iterdir()} == {
        "src",
        ".pixi",
        "x.egg-info",
    }  # nothing of ours makes the last
    assert not list((tmp_path / "src").iterdir())


def test_nothing_that_git_keeps_is_removed() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=launch.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    kept = [launch.ROOT / name for name in listed.stdout.split("\0") if name]
    assert kept
    assert [
        (str(path), str(file)) for path in cleaning.made(launch.ROOT) for file in kept if file.is_relative_to(path)
    ] == []


def test_clean_removes_what_the_tasks_made_and_nothing_else(tmp_path: Path) -> None:
    made = [".pairs/a/x", ".cache/x", ".venv/made-by-tasks-run", ".ruff_cache/x", "src/repro/__pycache__/x.pyc"]
    made += ["results/raw/m/x.jsonl", "results/trials.csv"]
    kept = ["results/reference/x.csv", "src/repro/x.py", ".git/config", "tests/x.py", ".pixi/x", "notes.txt"]
    outside = tmp_path / "outside" / "x"
    for path in [*(tmp_path / "checkout" / name for name in (*made, *kept)), outside]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if os.name != "nt":
        (tmp_path / "checkout" / ".hypothesis").symlink_to(outside.parent)
    cleaning.clean(tmp_path / "checkout", lambda text: None)
    found = {path.relative_to(tmp_path / "checkout").as_posix() for path in (tmp_path / "checkout").rglob("*")}
    assert {name for name in found if (tmp_path / "checkout" / name).is_file()} == set(kept)
    assert ".hypothesis" not in found
    assert outside.exists()


def test_clean_keeps_a_venv_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    cleaning.clean(tmp_path, lambda text: None)
    assert (tmp_path / ".venv").exists()
