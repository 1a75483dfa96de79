"""tasks/run.py: the commands of the project in a private venv; nothing left behind."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from repro.paths import ROOT
from repro.system.platforms import executable_name, venv_programs
from support import builds_server, builds_wheels
from support.builds_server import Server, answer
from support.tasks import TASKS, task
from support.waiting import eventually, lives

launch, private_venv = task("launch"), task("private_venv")
RUN = TASKS / "run.py"
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")


def quiet(text: str) -> None:
    """Says nothing."""


# ---- the commands


def test_an_old_python_gets_a_sentence_and_status_2() -> None:
    code = f"import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path({str(RUN)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tasks/run.py needs Python 3.11 or newer, this is 3.9.2")
    ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 5))


def test_without_a_command_the_commands_are_listed_and_no_venv_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(private_venv, "ensure", lambda root, say: pytest.fail("made a venv"))
    assert launch.launch([]) == 2
    assert "  bench-all [--quick]   the main job" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["bench-all", "--quick", "--threads", "4"], ["-m", "repro", "bench-all", "--quick", "--threads", "4"]),
        (["unit", "-k", "order"], [str(TASKS / "test.py"), "unit", "-k", "order"]),
        (["test"], [str(TASKS / "test.py"), "test"]),
        (["lock", "--check"], [str(TASKS / "lock.py"), "--check"]),
    ],
)
def test_every_word_goes_to_the_command_as_typed(
    words: list[str], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(private_venv, "ensure", lambda root, say: Path(sys.prefix))

    def call(argv: Sequence[str], environment: Mapping[str, str]) -> int:
        calls.append(argv)
        return 5

    monkeypatch.setattr(launch, "call", call)
    assert launch.launch(words) == 5
    assert [call[1:] for call in calls] == [command]


def test_a_command_runs_in_the_folder_of_the_caller(tmp_path: Path) -> None:
    code = f"import os, pathlib; pathlib.Path({str(tmp_path / 'cwd')!r}).write_text(os.getcwd(), encoding='utf-8')"
    program = "import os, launch, sys; sys.exit(launch.call([sys.executable, '-c', sys.argv[1]], os.environ))"
    (tmp_path / "images").mkdir()
    subprocess.run([sys.executable, "-c", program, code], cwd=tmp_path / "images", env=environment(), check=True)
    assert (tmp_path / "cwd").read_text(encoding="utf-8") == str((tmp_path / "images").resolve())


def test_the_variables_of_a_command_are_the_venvs_own() -> None:
    outer = {"PATH": "/usr/bin", "PYTHONHOME": "/x", "PYTHONPATH": "src", "PIXI_PROJECT_ROOT": "/y", "LANG": "C"}
    inner = launch.variables(outer, Path("/venv"))
    assert inner["PATH"] == f"{venv_programs(Path('/venv'))}{os.pathsep}/usr/bin"
    assert inner["PYTHONPATH"] == str(ROOT / "src")
    assert inner["LANG"] == "C"
    assert not {"PYTHONHOME", "PIXI_PROJECT_ROOT"} & set(inner)


def test_the_exit_status_is_passed_on() -> None:
    assert launch.call([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7


def environment() -> dict[str, str]:
    """Of a process that imports what run.py imports."""
    return {**os.environ, "PYTHONPATH": f"{TASKS}{os.pathsep}{ROOT / 'src'}"}


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_waits_for_the_command_and_has_its_own_status(number: int, status: int, tmp_path: Path) -> None:
    """Ctrl-C reaches all of the group; a polite kill reaches run.py, which hands it on."""
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
    with subprocess.Popen([sys.executable, "-c", parent], env=environment(), start_new_session=True) as process:
        assert eventually(ready.exists)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        assert process.wait() == status
    assert ended.exists()


@linux
def test_a_command_ends_with_a_killed_run() -> None:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    parent = f"import os, sys, launch; launch.call([sys.executable, '-c', {child!r}], os.environ)"
    with subprocess.Popen([sys.executable, "-c", parent], env=environment(), stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        command = int(run.stdout.readline())
        run.kill()
    assert eventually(lambda: not lives(command))


# ---- the venv


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "params").mkdir()
    lock = "uv==1.0 \\\n    --hash=sha256:0\nzz==2\n"
    (tmp_path / "params" / "tools.txt").write_text(lock, encoding="utf-8")
    return tmp_path


@pytest.fixture
def commands_run(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Takes the place of the programs that make a venv; only its Python appears."""
    run: list[list[str]] = []

    def fake(command: Sequence[str], what: str, environment: Mapping[str, str]) -> None:
        run.append(list(command))
        if "venv" in command:
            python = venv_programs(Path(command[-1])) / executable_name("python")
            python.parent.mkdir()
            python.touch()

    monkeypatch.setattr(private_venv, "_run", fake)
    monkeypatch.setattr(private_venv, "_pip_settings", lambda pip: "")
    monkeypatch.setattr(private_venv, "_is_there", lambda module: True)
    return run


def test_the_venv_is_made_once_and_again_when_its_lock_changes(checkout: Path, commands_run: list[list[str]]) -> None:
    private_venv.ensure(checkout, quiet)
    made = len(commands_run)
    assert made > 0
    private_venv.ensure(checkout, quiet)
    assert len(commands_run) == made
    with (checkout / "params" / "tools.txt").open("a", encoding="utf-8") as lock:
        lock.write("more==1\n")
    private_venv.ensure(checkout, quiet)
    assert len(commands_run) == 2 * made


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users make links")
def test_a_link_to_another_checkouts_venv_is_replaced_and_that_one_stays(
    checkout: Path, tmp_path: Path, commands_run: list[list[str]]
) -> None:
    another = private_venv.ensure(checkout, quiet).rename(tmp_path / "another")
    (checkout / "params" / "tools.txt").write_text("uv==2 \\\n    --hash=sha256:0\n", encoding="utf-8")
    (checkout / ".venv").symlink_to(another)
    venv = private_venv.ensure(checkout, quiet)
    assert not venv.is_symlink()
    assert commands_run[0][-1] == commands_run[len(commands_run) // 2][-1] == str(venv)
    assert list(another.iterdir())


def test_everything_is_installed_by_hash_and_pip_installs_uv_alone(
    checkout: Path, commands_run: list[list[str]]
) -> None:
    venv = private_venv.ensure(checkout, quiet)
    installs = [command for command in commands_run if "install" in command]
    assert all("--require-hashes" in command for command in installs)
    assert [command[-1] for command in installs] == [str(venv / "uv.txt"), str(checkout / "params" / "tools.txt")]
    assert (venv / "uv.txt").read_text(encoding="utf-8") == "uv==1.0 \\\n    --hash=sha256:0"


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
    wheel = checkout / "tree" / "usr" / "share" / "python-wheels" / "pip-26.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.setattr(private_venv, "_is_there", lambda module: module in there)
    monkeypatch.setattr(task("debian"), "unpack", lambda package, folder, needed: checkout / "tree")
    venv = private_venv.ensure(checkout, quiet)
    base, python = commands_run[0][0], str(next(venv_programs(venv).glob("python*")))
    names = {base: "<base>", python: "<venv>", str(wheel / "pip"): "<debian>"}
    command = next(command for command in commands_run if str(venv / "uv.txt") in command)
    assert [names.get(word, word) for word in command[: command.index("install")]] == pip


def test_a_machine_without_pip_and_debian_is_told_the_cure(
    checkout: Path, commands_run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "apt-get")

    monkeypatch.setattr(private_venv, "_is_there", lambda module: False)
    monkeypatch.setattr(task("debian"), "unpack", fails)
    with pytest.raises(private_venv.VenvError, match=r"neither ensurepip nor pip.*apt install python3-venv"):
        private_venv.ensure(checkout, quiet)


def test_a_venv_that_was_not_finished_is_made_anew(
    checkout: Path, commands_run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = private_venv._run

    def stopped(command: Sequence[str], what: str, environment: Mapping[str, str]) -> None:
        if "install" in command:
            raise private_venv.VenvError("no network")
        working(command, what, environment)

    monkeypatch.setattr(private_venv, "_run", stopped)
    with pytest.raises(private_venv.VenvError, match="no network"):
        private_venv.ensure(checkout, quiet)
    (checkout / ".venv" / "half-done").touch()
    monkeypatch.setattr(private_venv, "_run", working)
    venv = private_venv.ensure(checkout, quiet)
    assert not (venv / "half-done").exists()


def test_a_folder_in_which_something_is_still_ending_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "venv"
    (folder / "lib").mkdir(parents=True)
    remove, tries = private_venv.shutil.rmtree, iter([OSError(39, "Directory not empty", "lib"), None])

    def as_while_somebody_writes(path: Path) -> None:
        if error := next(tries):
            raise error
        remove(path)

    monkeypatch.setattr(private_venv.shutil, "rmtree", as_while_somebody_writes)
    private_venv._remove(folder)
    assert not folder.exists()


def test_a_venv_of_somebody_else_is_left_alone(checkout: Path, commands_run: list[list[str]]) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "precious").touch()
    with pytest.raises(private_venv.VenvError, match=r"was not made by tasks/run\.py"):
        private_venv.ensure(checkout, quiet)
    assert (checkout / ".venv" / "precious").exists()
    assert commands_run == []


def test_one_waits_while_another_makes_the_venv(checkout: Path, commands_run: list[list[str]]) -> None:
    private_venv.ensure(checkout, quiet)
    stamp = checkout / ".venv" / "made-by-tasks-run"
    finished, waits = stamp.read_text(encoding="utf-8"), threading.Event()
    stamp.write_text("", encoding="utf-8")
    commands_run.clear()
    with private_venv._alone(checkout / ".cache" / "venv.lock", quiet):
        second = threading.Thread(target=private_venv.ensure, args=(checkout, lambda text: waits.set()))
        second.start()
        assert waits.wait(20)
        stamp.write_text(finished, encoding="utf-8")
    second.join(20)
    assert not second.is_alive()
    assert commands_run == []


def test_a_program_that_fails_says_what_it_said() -> None:
    code = "print('last words'); raise SystemExit(3)"
    with pytest.raises(private_venv.VenvError, match=r"could not count \(ended with status 3\)[\s\S]*last words"):
        private_venv._run([sys.executable, "-c", code], "count", os.environ)


def test_a_program_that_hangs_is_ended_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_venv, "_TIMEOUT_S", 0.2)
    with pytest.raises(private_venv.VenvError, match=r"could not count \(stopped at its timeout .*try again"):
        private_venv._run([sys.executable, "-c", "import time; time.sleep(60)"], "count", os.environ)


@posix
def test_what_makes_the_venv_ends_with_a_killed_run_and_so_does_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    made = f"sleep 300 & echo $! >>{pids}; echo $$ >>{pids}; wait"  # as ensurepip starts pip
    code = f"import os, private_venv; private_venv._run(['/bin/sh', '-c', {made!r}], 'install', dict(os.environ))"
    with subprocess.Popen([sys.executable, "-c", code], env=environment()) as run:
        assert eventually(lambda: pids.exists() and len(pids.read_text(encoding="utf-8").split()) == 2)
        helpers = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
        run.kill()
    assert helpers
    assert eventually(lambda: not any(map(lives, helpers)))


def test_the_users_settings_of_pip_and_uv_do_not_bend_the_venv() -> None:
    bending = {"PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_DRY_RUN": "1", "PIP_USER": "1", "PIP_CONSTRAINT": "/x"}
    bending |= {"UV_SYSTEM_PYTHON": "1", "UV_OVERRIDE": "/x", "UV_EXCLUDE_NEWER": "2020-01-01", "PYTHONPATH": "/x"}
    reaching = {"PIP_INDEX_URL": "an index", "PIP_PROXY": "a proxy", "PIP_CERT": "a file", "HTTPS_PROXY": "a proxy"}
    reaching |= {"UV_DEFAULT_INDEX": "an index", "UV_HTTP_TIMEOUT": "77", "PIP_FIND_LINKS": "/wheels"}
    found = private_venv.installing_environment({**bending, **reaching, "PATH": "/bin"})
    assert not bending.keys() & found.keys()
    assert {name: found[name] for name in reaching} == reaching
    assert found["PATH"] == "/bin"
    assert found["PIP_CONFIG_FILE"] == os.devnull


def test_of_pips_files_only_the_way_to_packages_is_taken() -> None:
    files = (
        "global.index-url='an index'\nglobal.target='/x'\nglobal.timeout='30'\ninstall.user='true'\n"
        "install.find-links='/a\\n/b'\n:env:.index-url='not a file'\n"
    )
    found = private_venv.installing_environment({"PIP_PROXY": "a proxy"}, files)
    assert found["PIP_INDEX_URL"] == "an index"
    assert found["PIP_FIND_LINKS"] == "/a\n/b"
    assert found["PIP_PROXY"] == "a proxy"
    assert not {"PIP_TARGET", "PIP_USER"} & found.keys()
    assert private_venv.installing_environment({"PIP_INDEX_URL": "mine"}, files)["PIP_INDEX_URL"] == "mine"


# ---- pip itself, which gets uv, against an index on loopback

WHEEL = "uv-1.0-py3-none-any.whl"
PIP = [str(getattr(sys, "_base_executable", sys.executable)), "-m", "pip"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An index that no proxy and no certificate of this machine stands between."""
    if subprocess.run([*PIP, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this Python has no pip")
    builds_server.direct(monkeypatch)
    for name in ("PIP_CERT", "PIP_PROXY", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with builds_server.serving() as server:
        yield server


def publish(index: Server, folder: Path, place: str) -> bytes:
    wheel = builds_wheels.make(folder, "uv", "1.0")
    page = f'<html><a href="{place}/files/{WHEEL}">{WHEEL}</a></html>'.encode()
    index.paths[f"{place}/simple/uv/"] = [answer(body=page, kind="text/html")]
    index.paths[f"{place}/files/{WHEEL}"] = [answer(body=wheel.read_bytes())]
    return wheel.read_bytes()


def get_by_pip(folder: Path, place: str) -> bytes:
    options = ["--no-deps", f"--dest={folder}", f"--index-url={place}/simple", "--retries=0"]
    command = [*PIP, "download", "--trusted-host=index.invalid", *options, "uv==1.0"]
    private_venv._run(command, "get uv", private_venv.installing_environment(os.environ))
    return (folder / WHEEL).read_bytes()


def test_pip_goes_through_the_proxy(index: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = publish(index, tmp_path / "wheels", "http://index.invalid")
    monkeypatch.setenv("HTTP_PROXY", index.url())
    assert get_by_pip(tmp_path / "got", "http://index.invalid") == wheel


@builds_server.needs_openssl
def test_pip_trusts_the_certificates_of_the_environment(
    index: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = builds_server.with_certificate(index, tmp_path / "ca")
    wheel, place = publish(index, tmp_path / "wheels", ""), index.url(scheme="https")
    with pytest.raises(private_venv.VenvError, match="certificate"):
        get_by_pip(tmp_path / "none", place)
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(certificate))
            assert get_by_pip(tmp_path / variable, place) == wheel


# ---- cleaning


def test_clean_removes_what_the_commands_made_and_nothing_else(tmp_path: Path) -> None:
    made = [".builds/api/x", ".cache/x", ".venv/made-by-tasks-run", ".ruff_cache/x", "src/repro/__pycache__/x.pyc"]
    made += ["results/raw/m/x.jsonl", "results/trials.csv", "results/report.html", "results/sessions.jsonl"]
    kept = ["results/reference/x.csv", "src/repro/x.py", ".git/config", "tests/x.py", ".pixi/x", "notes.txt"]
    kept += ["results/notes.csv", "results/anna.zip", "results/paper/figure.png", ".machine-id"]
    outside = tmp_path / "outside" / "x"
    for path in [*(tmp_path / "checkout" / name for name in (*made, *kept)), outside]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if os.name != "nt":
        (tmp_path / "checkout" / ".hypothesis").symlink_to(outside.parent)
    launch.clean(tmp_path / "checkout")
    found = {path.relative_to(tmp_path / "checkout").as_posix() for path in (tmp_path / "checkout").rglob("*")}
    assert {name for name in found if (tmp_path / "checkout" / name).is_file()} == set(kept)
    assert ".hypothesis" not in found
    assert outside.exists()


@pytest.mark.parametrize("more", ["--help", "results"])
def test_clean_with_anything_behind_it_says_the_usage_and_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    monkeypatch.setattr(launch, "clean", lambda root: pytest.fail(f"cleans {root}"))
    assert launch.launch(["clean", more]) == launch.EXIT_USAGE
    assert "usage:" in capsys.readouterr().err


def test_nothing_that_git_keeps_is_removed() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    kept = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert kept
    found = [(str(path), str(file)) for path in launch.made(ROOT) for file in kept if file.is_relative_to(path)]
    assert found == []


def test_clean_keeps_a_venv_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    launch.clean(tmp_path)
    assert (tmp_path / ".venv").exists()
