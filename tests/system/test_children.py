"""Children are timed, bounded, and gone: the launcher, its parent's end, and the lines between."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from repro.errors import TrialError
from repro.system.children import (
    LINE_LIMIT_BYTES,
    Command,
    EndedError,
    GarbageError,
    Launcher,
    LineChild,
    Lines,
    tail_of,
)
from repro.system.environment import child_environment
from support.waiting import eventually, lives

SOURCE = Path(__file__).parents[2] / "src"
ENV = child_environment({})
posix = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals and sh")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its launcher")


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """A command that runs the code in a small interpreter."""
    return (sys.executable, "-I", "-S", "-c", textwrap.dedent(code), *arguments)


def command(*argv: str, **options: object) -> Command:
    return Command(argv=argv, env=ENV, **options)  # type: ignore[arg-type]


def numbers(file: Path, count: int) -> list[int]:
    """Process numbers that a tree has written to the file, once all are there."""
    assert eventually(lambda: file.exists() and len(file.read_text(encoding="utf-8").split()) >= count), (
        "the tree did not start"
    )
    return [int(word) for word in file.read_text(encoding="utf-8").split()]


def launcher_of(child: int) -> psutil.Process:
    parent = psutil.Process(child).parent()
    assert parent is not None
    return parent


# A shell that ignores SIGTERM, with a grandchild in its session and one that left it.
TREE = "trap '' TERM; echo $$ >>{0}; sleep 300 & echo $! >>{0}; setsid sh -c 'echo $$ >>{0}; exec sleep 300' & wait"


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher() as running:
        yield running


def test_the_outcome_says_how_it_ended_and_what_it_used(launcher: Launcher, tmp_path: Path) -> None:
    code = """
        import sys
        sum(i * i for i in range(300_000))
        print("out", __import__("os").getcwd())
        print("err", file=sys.stderr)
        sys.exit(7)
    """
    files = tmp_path / "out", tmp_path / "err"
    outcome = launcher.run(command(*python(code), cwd=tmp_path, stdout=files[0], stderr=files[1]))
    assert (outcome.exit_status, outcome.signal, outcome.timed_out) == (7, None, False)
    assert outcome.how == "ended with status 7"
    assert files[0].read_text(encoding="utf-8").split(maxsplit=1)[1].strip() == str(tmp_path.resolve())
    assert files[1].read_text(encoding="utf-8").strip() == "err"
    assert outcome.user_s is not None
    assert 0 < outcome.user_s <= outcome.wall_s * (os.cpu_count() or 1) + 0.1
    assert outcome.peak_bytes is not None
    assert 1 << 20 < outcome.peak_bytes < 200 << 20
    if sys.platform != "win32":
        assert outcome.voluntary_switches is not None


def test_the_environment_is_the_given_one_alone(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    environment = child_environment({"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "28"})
    code = "import os; print(sorted(os.environ))"
    launcher.run(Command(argv=python(code), env=environment, stdout=tmp_path / "out"))
    said = (tmp_path / "out").read_text(encoding="utf-8")
    assert "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS" in said
    assert "SECRET_TOKEN" not in said


def test_odd_words_reach_the_program_unchanged(launcher: Launcher, tmp_path: Path) -> None:
    words = ["", "a b", '"', "$HOME;`ls`", "é€", "line\nbreak", "*"]
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    launcher.run(command(*python(code, *words), stdout=tmp_path / "out"))
    import json

    assert json.loads((tmp_path / "out").read_text(encoding="utf-8")) == words


def test_a_program_that_is_not_there_is_an_error_and_the_launcher_lives_on(launcher: Launcher) -> None:
    with pytest.raises(TrialError, match="no-such-program could not be started"):
        launcher.run(command("/no-such-program"))
    assert launcher.run(command(*python("pass"))).exit_status == 0


@posix
def test_a_signal_is_told_from_an_exit_status(launcher: Launcher) -> None:
    outcome = launcher.run(command("/bin/sh", "-c", "kill -ABRT $$"))
    assert (outcome.exit_status, outcome.signal) == (None, signal.SIGABRT)
    assert outcome.how == "ended by SIGABRT"


@posix
def test_a_timeout_ends_the_whole_tree(launcher: Launcher, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    outcome = launcher.run(command("/bin/sh", "-c", TREE.format(pids), timeout_s=0.5))
    assert outcome.timed_out
    assert "timeout" in outcome.how
    in_session, daemonised = numbers(pids, 3)[:2], numbers(pids, 3)[2]
    assert eventually(lambda: not any(map(lives, in_session)))
    if sys.platform == "linux":
        assert not lives(daemonised)
    else:
        psutil.Process(daemonised).kill()


@posix
def test_what_an_ended_child_left_running_is_ended(launcher: Launcher, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert launcher.run(command("/bin/sh", "-c", f"sleep 300 & echo $! >{pids}")).exit_status == 0
    assert eventually(lambda: not lives(numbers(pids, 1)[0]))


@posix
def test_closing_from_another_thread_ends_the_run(launcher: Launcher, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    errors: queue.Queue[TrialError] = queue.Queue()

    def run() -> None:
        try:
            launcher.run(command("/bin/sh", "-c", TREE.format(pids)))
        except TrialError as error:
            errors.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    tree = numbers(pids, 3)
    assert eventually(lambda: launcher.pid == tree[0])  # the parent hears of it a little later
    launcher.close()
    assert errors.get(timeout=20)
    thread.join()
    assert eventually(lambda: not lives(tree[0]))
    assert launcher.pid is None
    assert launcher.run(command(*python("pass"))).exit_status == 0


@posix
def test_an_exception_in_the_parent_leaves_nothing(launcher: Launcher, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # A shell starts what it runs in the background with SIGINT ignored, and the test would wait for ever.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        numbers(pids, 3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            launcher.run(command("/bin/sh", "-c", TREE.format(pids)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert eventually(lambda: not any(map(lives, numbers(pids, 3)[:2])))


PARENT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from repro.system.children import Command, Launcher, LineChild
    from repro.system.environment import child_environment
    from pathlib import Path
    env = child_environment({})
"""


def parent(code: str, *arguments: str) -> list[str]:
    """A command that runs the code as a parent of its own."""
    return [sys.executable, "-c", textwrap.dedent(PARENT) + textwrap.dedent(code), str(SOURCE), *arguments]


@posix
def test_sigkill_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = "Launcher().run(Command(argv=['/bin/sh', '-c', sys.argv[2]], env=env))"
    process = subprocess.Popen(parent(code, TREE.format(pids)))
    tree = numbers(pids, 3)
    helpers = [child.pid for child in psutil.Process(process.pid).children()]
    process.kill()
    process.wait()
    assert helpers
    assert eventually(lambda: not any(map(lives, [*tree[:2], *helpers])))
    if sys.platform == "linux":
        assert eventually(lambda: not lives(tree[2]))
    else:
        psutil.Process(tree[2]).kill()


@posix
def test_sigkill_of_the_parent_of_a_line_child_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = """
        child = LineChild(['/bin/sh', '-c', sys.argv[2]], env=env, stderr_file=Path(sys.argv[3]))
        child.read(None)
    """
    process = subprocess.Popen(parent(code, TREE.format(pids), str(tmp_path / "log")))
    tree = numbers(pids, 3)
    process.kill()
    process.wait()
    assert eventually(lambda: not any(map(lives, tree[:2])))
    if sys.platform != "linux":
        psutil.Process(tree[2]).kill()


@linux
def test_sigkill_of_the_launcher_leaves_nothing_and_it_is_replaced(launcher: Launcher, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    threading.Thread(target=lambda: launcher_of(numbers(pids, 1)[0]).kill()).start()
    with pytest.raises(TrialError, match="ended from outside"):
        launcher.run(command("/bin/sh", "-c", f"echo $$ >>{pids}; sleep 300"))
    assert eventually(lambda: not lives(numbers(pids, 1)[0]))
    assert launcher.run(command(*python("pass"))).exit_status == 0


@linux
def test_sigkill_of_launcher_and_parent_together_ends_the_child(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = "Launcher().run(Command(argv=['/bin/sh', '-c', sys.argv[2]], env=env))"
    process = subprocess.Popen(parent(code, f"echo $$ >>{pids}; exec sleep 300"))
    child = numbers(pids, 1)[0]
    thin = launcher_of(child)
    psutil.Process(process.pid).suspend()  # it can do nothing about what comes
    thin.kill()
    process.kill()
    process.wait()
    assert eventually(lambda: not lives(child))


@pytest.mark.skipif(sys.platform == "win32", reason="resource is a POSIX module")
def test_a_fat_parent_does_not_inflate_a_small_childs_peak(tmp_path: Path) -> None:
    code = """
        import resource, subprocess, gc
        ballast = bytearray(b"x" * (300 << 20))
        with Launcher() as launcher:
            outcome = launcher.run(Command(argv=[sys.executable, "-I", "-S", "-c", "pass"], env=env))
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        straight = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        code = "import sys, importlib.util as u; s = u.spec_from_file_location('r', sys.argv[1]); "
        code += "m = u.module_from_spec(s); s.loader.exec_module(m); print('{\\"peak\\": %d}' % m.peak_bytes())"
        with LineChild([sys.executable, "-I", "-S", "-c", code, sys.argv[2]], env=env,
                       stderr_file=Path(sys.argv[3])) as child:
            own = child.read(20)["peak"]
        print(outcome.peak_bytes, own, straight)
    """
    used = SOURCE / "repro" / "system" / "used.py"
    done = subprocess.run(parent(code, str(used), str(tmp_path / "log")), capture_output=True, text=True, check=True)
    launched, own, straight = map(int, done.stdout.split())
    assert launched < 60 << 20
    assert own < 60 << 20
    if sys.platform == "linux":
        assert straight > 300 << 20, "the measurement is not sensitive: drop the launcher's reason to be"


def test_two_hundred_launches_leak_nothing(launcher: Launcher, tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        me = psutil.Process()
        thin = psutil.Process(launcher._process.process.pid) if launcher._process else me
        count = "num_handles" if sys.platform == "win32" else "num_fds"
        return getattr(me, count)(), getattr(thin, count)()

    argv = python("pass") if sys.platform == "win32" else ("/bin/true",)
    launcher.run(command(*argv, stdout=tmp_path / "out", stderr=tmp_path / "err"))
    before, threads = held(), threading.active_count()
    for _ in range(200):
        assert launcher.run(command(*argv, stdout=tmp_path / "out", stderr=tmp_path / "err")).exit_status == 0
    assert held() == before
    assert threading.active_count() == threads
    assert launcher._process is not None
    assert psutil.Process(launcher._process.process.pid).children() == []


@linux
def test_a_memory_limit_bounds_the_child(launcher: Launcher, tmp_path: Path) -> None:
    code = "import sys; b = bytearray(int(sys.argv[1])); b[::4096] = bytes(len(b[::4096])); print(len(b))"
    limits = {"memory_limit_bytes": 200 << 20, "stdout": tmp_path / "out", "stderr": tmp_path / "err"}
    assert launcher.run(command(*python(code, str(50 << 20)), **limits)).exit_status == 0
    assert launcher.run(command(*python(code, str(400 << 20)), **limits)).exit_status == 1
    assert "MemoryError" in (tmp_path / "err").read_text(encoding="utf-8")


@linux
def test_a_memory_limit_bounds_a_line_child(tmp_path: Path) -> None:
    code = """
        import sys
        sys.stdin.readline()
        print('{"small": %d}' % len(bytearray(50 << 20)), flush=True)
        sys.stdin.readline()
        print('{"large": %d}' % len(bytearray(400 << 20)), flush=True)
    """
    child = LineChild(python(code), env=ENV, stderr_file=tmp_path / "log", memory_limit_bytes=200 << 20)
    assert child.ask({"n": 1}, 20) == {"small": 50 << 20}
    with pytest.raises(TrialError, match=r"(?s)is gone, ended with status 1.*MemoryError"):
        child.ask({"n": 2}, 20)
    assert not lives(child.pid)


@linux
def test_a_limit_above_our_own_is_our_own(tmp_path: Path) -> None:
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        with Launcher() as launcher:
            print(launcher.run(Command(argv=["/bin/sh", "-c", "ulimit -H -f"], env=env, stdout=Path(sys.argv[2]))))
    """
    subprocess.run(parent(code, str(tmp_path / "out")), check=True)
    assert (tmp_path / "out").read_text(encoding="utf-8").strip() == "2048", "blocks of 512 bytes"


@posix
def test_a_flood_stops_at_the_output_limit(launcher: Launcher, tmp_path: Path) -> None:
    outcome = launcher.run(
        command("/bin/sh", "-c", "exec yes", stdout=tmp_path / "out", output_limit_bytes=1 << 20, timeout_s=60)
    )
    assert not outcome.timed_out
    assert (outcome.exit_status, outcome.signal) != (0, None)
    assert (tmp_path / "out").stat().st_size <= 1 << 20


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def line_child(tmp_path: Path, code: str, *arguments: str) -> LineChild:
    return LineChild(python(code, *arguments), env=ENV, stderr_file=tmp_path / "log")


def test_a_line_child_answers_each_line(tmp_path: Path) -> None:
    with line_child(tmp_path, ECHO) as child:
        for number in range(50):
            assert child.ask({"n": number, "word": "é\n"}, 20) == {"n": number, "word": "é\n"}
        assert child.started <= time.perf_counter()
    assert not lives(child.pid)


def test_a_line_child_that_dies_says_how_and_its_last_words(tmp_path: Path) -> None:
    code = "import sys; sys.stdin.readline(); print('it burns', file=sys.stderr); sys.exit(5)"
    child = line_child(tmp_path, code)
    with pytest.raises(TrialError, match=r"(?s)is gone, ended with status 5.*it burns"):
        child.ask({"n": 1}, 20)
    assert not lives(child.pid)


def test_a_line_child_that_answers_with_an_error_is_ended(tmp_path: Path) -> None:
    code = (
        "import sys\nfor _ in sys.stdin: print('it burns', file=sys.stderr); print('{\"error\": \"ITK\"}', flush=True)"
    )
    child = line_child(tmp_path, code)
    with pytest.raises(TrialError, match=r"(?s)register failed: ITK; its last lines:.*it burns"):
        child.ask({"op": "register"}, 20)
    assert not lives(child.pid)


@posix
def test_a_line_child_killed_in_mid_call_says_by_what(tmp_path: Path) -> None:
    child = line_child(tmp_path, "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 9)")
    with pytest.raises(TrialError, match="is gone, ended by SIGKILL"):
        child.ask({"n": 1}, 20)
    with pytest.raises(TrialError):
        child.ask({"n": 2}, 20)


@pytest.mark.parametrize(
    "wrote",
    ["'hello'", "'[1]'", "'{'", """'{"a": 1'""", "'\\0\\xff'", "'[' * 100_000", f"'x' * {LINE_LIMIT_BYTES + 10}"],
    ids=["word", "list", "brace", "cut", "binary", "deep", "long"],
)
def test_garbage_on_the_pipe_is_an_error_and_the_end_of_the_child(tmp_path: Path, wrote: str) -> None:
    code = f"""
        import sys, time
        sys.stdin.readline()
        print({wrote}, flush=True)
        time.sleep(300)
    """
    child = line_child(tmp_path, code)
    with pytest.raises(TrialError, match="garbage"):
        child.ask({"n": 1}, 20)
    assert not lives(child.pid)


def test_a_line_child_that_talks_unasked_is_an_error(tmp_path: Path) -> None:
    child = line_child(tmp_path, "print('{}\\n{}', flush=True)\nimport time; time.sleep(300)")
    child.read(20)
    assert eventually(lambda: not child._answers.empty())
    with pytest.raises(TrialError, match="without being asked"):
        child.ask({"n": 1}, 20)
    assert not lives(child.pid)


@linux
def test_a_line_child_ends_with_its_launcher(tmp_path: Path) -> None:
    child = line_child(tmp_path, ECHO)
    launcher_of(child.pid).kill()
    assert eventually(lambda: not lives(child.pid))
    with pytest.raises(TrialError, match="is gone"):
        child.ask({"n": 1}, 20)


@posix
def test_a_hung_line_child_is_ended_with_its_tree(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = LineChild(["/bin/sh", "-c", TREE.format(pids)], env=ENV, stderr_file=tmp_path / "log")
    tree = numbers(pids, 3)
    with pytest.raises(TrialError, match="did not answer within 0 s") as caught:
        child.ask({"n": 1}, 0.2)
    assert caught.value.timed_out
    assert eventually(lambda: not any(map(lives, tree[:2])))


def test_floods_of_stderr_and_stdout_do_not_block_or_grow(tmp_path: Path) -> None:
    code = """
        import sys
        for line in sys.stdin:
            for _ in range(2000):
                sys.stderr.write("x" * 1000 + "\\n")
            print(line, end="", flush=True)
        while True:
            sys.stdout.write('{"flood": 1}\\n')
    """
    child = line_child(tmp_path, code)
    assert child.ask({"n": 1}, 20) == {"n": 1}
    child.close(timeout_s=0.2)
    assert not lives(child.pid)
    assert len(tail_of(tmp_path / "log")) <= 4000


def test_no_thread_or_process_of_a_line_child_is_left(tmp_path: Path) -> None:
    threads, processes = threading.active_count(), len(psutil.Process().children(recursive=True))
    for _ in range(5):
        with line_child(tmp_path, ECHO) as child:
            child.ask({"n": 1}, 20)
    assert threading.active_count() == threads
    assert len(psutil.Process().children(recursive=True)) == processes


def test_lines_tell_end_garbage_and_silence_apart() -> None:
    read, write = os.pipe()
    lines = Lines(os.fdopen(read, "rb"))
    with pytest.raises(queue.Empty):
        lines.get(0.01)
    os.write(write, b'{"a": 1}\nnonsense\n{"a": ')
    assert lines.get(20) == {"a": 1}
    with pytest.raises(GarbageError, match="nonsense"):
        lines.get(20)
    os.close(write)
    with pytest.raises(GarbageError):
        lines.get(20)
    with pytest.raises(EndedError):
        lines.get(20)
    lines.close()


def test_the_tail_of_a_missing_or_binary_file_is_text(tmp_path: Path) -> None:
    assert tail_of(tmp_path / "none") == ""
    (tmp_path / "binary").write_bytes(b"\xff\x00\n" * 5000 + b"last\n")
    assert tail_of(tmp_path / "binary").endswith("last")
