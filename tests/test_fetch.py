"""A pair appears whole or not at all, is fetched once, and is what the pair asks for."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import parts
from repro import layout
from repro.builds import apt, downloads, executables, fetch, installed, verify, wheels
from repro.builds.config import load_pairs
from repro.builds.downloads import UnreachableError
from repro.builds.fetch import fetch_pair
from repro.builds.installed import Installed
from repro.errors import FetchError, UnavailableError
from repro.model import Pair
from repro.system import current_platform

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="scripts stand for executables here")
VERSIONS = {"itk-elastix": "0.25.4", "itk": "5.4.7", "numpy": "2.4.6"}


class Machine:
    """A checkout with made-up sources: a release archive and wheels that cost nothing."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.cache = folder / "pairs", folder / "cache"
        self.pair = parts.pair()
        self.archive = parts.release(folder / "release.zip")
        self.versions = dict(VERSIONS)
        self.work: list[str] = []
        self.said: list[str] = []
        self.reachable = True
        locks = folder / "locks"
        locks.mkdir()
        self.lock = locks / f"{self.pair.name}.txt"
        self.lock.write_text(parts.lock(VERSIONS))
        monkeypatch.setattr(layout, "WHEEL_LOCKS", locks)
        monkeypatch.setattr(downloads, "download", self.download)
        monkeypatch.setattr(wheels, "install", self.install)
        monkeypatch.delenv("PIXI_PROJECT_ROOT", raising=False)

    def download(self, url: str, name: str, **options: Any) -> Path:
        self.work.append("release")
        if not self.reachable or options["offline"]:
            raise UnreachableError(f"{name} cannot be reached")
        return self.archive

    def install(self, pair: Pair, target: Path, **_: Any) -> None:
        self.work.append("wheels")
        parts.wheels(target, self.versions)

    def fetch(self, **options: Any) -> Installed:
        return fetch_pair(self.pair, root=self.root, cache=self.cache, say=self.said.append, **options)

    def names(self) -> list[str]:
        return sorted(one.name for one in self.root.iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_pair_is_fetched_once(machine: Machine) -> None:
    first = machine.fetch()
    assert machine.work == ["release", "wheels"]
    before = {one: one.stat().st_mtime_ns for one in machine.root.rglob("*")}
    assert machine.fetch() == first
    assert installed.load(machine.pair, machine.root) == first
    assert machine.work == ["release", "wheels"]
    assert {one: one.stat().st_mtime_ns for one in machine.root.rglob("*")} == before
    assert machine.names() == [machine.pair.name]


def test_an_api_only_release_is_fetched_without_an_executable(machine: Machine) -> None:
    machine.pair = dataclasses.replace(machine.pair, name="0.25.4", executable=None, wheels_of=machine.pair.name)
    one = machine.fetch(source="debian", require_pinned=True)
    assert machine.fetch() == one
    assert machine.work == ["wheels"]
    assert machine.names() == ["0.25.4"]
    assert (one.elastix_command, one.cli_source) == ((), "")
    assert list(one.provenance["parts"]) == ["wheels"]
    assert not (one.folder / "elastix").exists()
    assert not (one.folder / "run-elastix").exists()
    assert verify.pair_files(one) == []
    assert one.lock != installed.lock_digest("", {}, one.python_tag)


def test_what_is_fetched_can_be_started_and_moved(machine: Machine) -> None:
    one = machine.fetch()
    assert one.cli_source == "release"
    assert one.site_packages == one.folder / "site-packages"
    assert one.elastix_command == (str(one.folder / "elastix/elastix-5/bin/elastix"),)
    assert list(one.elastix_env.values()) == [str(one.folder / "elastix/elastix-5/lib")]
    elsewhere = machine.root.with_name("moved")
    machine.root.rename(elsewhere)
    moved = installed.load(machine.pair, elsewhere)
    assert moved.elastix_command == (str(elsewhere / machine.pair.name / "elastix/elastix-5/bin/elastix"),)
    executables.check_version(executables.Provided("release", moved.elastix_command, moved.elastix_env), "5.3.1")


def test_the_provenance_names_everything_but_no_place_of_this_machine(machine: Machine, tmp_path: Path) -> None:
    one = machine.fetch()
    text = json.dumps(one.provenance)
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text
    elastix, packages = one.provenance["parts"]["elastix"], one.provenance["parts"]["wheels"]
    assert elastix["version"] == "5.3.1"
    assert elastix["sha256"] == downloads.sha256_of(machine.archive)
    assert elastix["licence"] == "Apache-2.0"
    assert elastix["fetched_utc"].endswith("+00:00")
    assert packages["packages"]["itk"] == {"version": "5.4.7", "licence": "Apache-2.0"}
    assert packages["sha256"] == downloads.sha256_of(machine.lock)


def test_a_given_executable_stays_where_it_is_and_its_place_out_of_the_provenance(
    machine: Machine, tmp_path: Path
) -> None:
    program = parts.program(tmp_path / "mine" / "elastix")
    one = machine.fetch(source=str(program))
    assert one.elastix_command == (str(program),)
    assert str(tmp_path) not in json.dumps(one.provenance)
    assert verify.pair_files(one) == []
    program.write_text(parts.script() + "# changed\n")
    with pytest.raises(UnavailableError, match="was changed since"):
        installed.load(machine.pair, machine.root)
    program.unlink()
    with pytest.raises(UnavailableError, match="is gone"):
        installed.load(machine.pair, machine.root)


def test_people_can_start_the_executable_by_hand(machine: Machine, tmp_path: Path) -> None:
    runner = machine.fetch().folder / "run-elastix"
    moved = machine.root.with_name("moved to a folder with 'quotes' and $signs")
    machine.root.rename(moved)
    done = subprocess.run(
        [moved / runner.relative_to(machine.root), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "elastix version: 5.3.1\n"


def test_another_source_is_fetched_when_asked_for(machine: Machine, tmp_path: Path) -> None:
    released = machine.fetch()
    program = parts.program(tmp_path / "mine" / "elastix", parts.script() + "# mine\n")
    given = machine.fetch(source=str(program))
    assert given.cli_source == "given"
    assert given.lock != released.lock
    assert machine.fetch() == given  # "auto" takes what is there
    assert machine.fetch(source="release").lock == released.lock
    assert machine.names() == [machine.pair.name]


def test_the_lock_tells_wheels_executable_and_python_apart() -> None:
    lock = installed.lock_digest("w", {"elastix": "e"}, "cp311")
    others = [("x", {"elastix": "e"}, "cp311"), ("w", {"elastix": "f"}, "cp311"), ("w", {"elastix": "e"}, "cp314")]
    assert len({lock, *(installed.lock_digest(*one) for one in others)}) == 4


def test_a_changed_wheel_lock_is_noticed_and_fetched(machine: Machine) -> None:
    machine.fetch()
    machine.lock.write_text("# another comment\n" + machine.lock.read_text())
    with pytest.raises(UnavailableError, match=r"was changed since it was fetched; run: python -m repro fetch"):
        installed.load(machine.pair, machine.root)
    machine.fetch()
    assert machine.work == ["release", "wheels"] * 2


def test_another_python_needs_other_wheels(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.fetch()
    monkeypatch.setenv("PIXI_PROJECT_ROOT", "/somewhere")
    other = dataclasses.replace(machine.pair, python="3.99")
    with pytest.raises(UnavailableError, match=r"needed are those for Python 3\.99"):
        installed.load(other, machine.root)


def test_wheels_of_another_version_are_refused_and_nothing_left(machine: Machine) -> None:
    machine.versions["itk-elastix"] = "0.25.3"
    with pytest.raises(FetchError, match=r"hold itk-elastix 0\.25\.3, not 0\.25\.4"):
        machine.fetch()
    machine.versions = {**VERSIONS, "numpy": "1.0"}
    with pytest.raises(FetchError, match=r"numpy 1\.0 was installed, the lock has"):
        machine.fetch()
    assert machine.names() == [f"{machine.pair.name}.unavailable.json"]


def test_an_executable_of_another_version_is_refused_and_nothing_left(machine: Machine) -> None:
    parts.release(machine.archive, parts.script("5.2.0"))
    with pytest.raises(FetchError, match=r"is elastix 5\.2\.0"):
        machine.fetch()
    with pytest.raises(UnavailableError, match=r"is elastix 5\.2\.0"):
        installed.load(machine.pair, machine.root)
    assert machine.names() == [f"{machine.pair.name}.unavailable.json"]
    assert "wheels" not in machine.work


def test_a_pair_without_a_source_is_recorded_with_its_reason(machine: Machine) -> None:
    machine.reachable = False
    with pytest.raises(UnavailableError, match="cannot be reached"):
        machine.fetch()
    with pytest.raises(UnavailableError, match=r"release: elastix-5.3.1.zip cannot be reached; debian: no"):
        installed.load(machine.pair, machine.root)
    assert machine.names() == [f"{machine.pair.name}.unavailable.json"]
    machine.reachable = True
    machine.fetch()
    assert machine.names() == [machine.pair.name]


def test_a_pair_that_the_platform_cannot_have_says_why_without_fetching(machine: Machine) -> None:
    machine.pair = dataclasses.replace(machine.pair, unavailable={current_platform(): "there are no wheels"})
    with pytest.raises(UnavailableError, match="there are no wheels"):
        machine.fetch()
    with pytest.raises(UnavailableError, match="there are no wheels"):
        installed.load(machine.pair, machine.root)
    assert machine.work == []


def test_a_pair_that_was_not_fetched_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(UnavailableError, match=r"python -m repro fetch 0\.25\.4-5\.3\.1"):
        installed.load(machine.pair, machine.root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name in ("installed.json", "provenance.json") for text in ("", "{", "[]", "\x00")),
        ("installed.json", '{"format": 1}'),
        ("installed.json", "{}"),
    ],
)
def test_a_damaged_pair_is_told_and_fetched_anew(machine: Machine, name: str, text: str) -> None:
    good = machine.fetch()
    (machine.root / machine.pair.name / name).write_text(text)
    with pytest.raises(UnavailableError, match=r"fetch"):
        installed.load(machine.pair, machine.root)
    assert machine.fetch().lock == good.lock
    assert machine.work == ["release", "wheels"] * 2


def test_stopping_at_any_step_leaves_no_part_and_keeps_what_was_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = machine.fetch()
    machine.lock.write_text("# new\n" + machine.lock.read_text())
    for module, name in (
        (fetch, "_check_wheels"),
        (fetch, "_describe"),
        (fetch, "_swap_in"),
        (executables, "check_version"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, _interrupt)
            with pytest.raises(KeyboardInterrupt):
                machine.fetch()
        assert machine.names() == [machine.pair.name]
        assert verify.pair_files(old) == []


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _die_during(step: str, folder: Path) -> None:
    """In a process of its own: fetch, and die at this step as by SIGKILL."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(folder, patch)
        patch.setattr(fetch, "NEEDED_BYTES", 0)

        def die(*_: object, **__: object) -> None:
            os._exit(9)

        if step in ("first rename", "second rename"):
            original, left = Path.rename, [0 if step == "first rename" else 1]

            def rename(self: Path, target: Path) -> Path:
                if left[0] == 0:
                    os._exit(9)
                left[0] -= 1
                return original(self, target)

            machine.fetch()
            machine.lock.write_text("# new\n" + machine.lock.read_text())
            patch.setattr(Path, "rename", rename)
        else:
            patch.setattr(fetch, step, die)
        machine.fetch()


@pytest.mark.parametrize("step", ["_check_wheels", "_describe", "_swap_in", "first rename", "second rename"])
def test_a_killed_fetch_is_cleared_away_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_during, args=(step, tmp_path))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    torn = [one.name for one in (tmp_path / "pairs").iterdir() if one.name.startswith(".tmp-")]
    assert torn
    shutil.rmtree(tmp_path / "locks")
    machine = Machine(tmp_path, monkeypatch)
    whole = machine.fetch()
    assert machine.names() == [machine.pair.name]
    assert verify.pair_files(whole) == []


def test_the_temporary_folder_of_a_live_process_stays(machine: Machine) -> None:
    other = machine.root / f".tmp-0.21.0-5.2.0-{os.getppid()}"
    dead = machine.cache / "releases" / ".tmp-download-999999999"
    for folder in (other, dead):
        folder.mkdir(parents=True)
    machine.fetch()
    assert other.is_dir()
    assert not dead.exists()


def test_too_little_disk_is_said_before_anything_is_downloaded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(machine.lock.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_500_000_000))
    with pytest.raises(FetchError, match=r"1\.5 GB of disk are free, a pair needs 2\.1 GB"):
        machine.fetch()
    assert machine.work == []


def test_a_disk_that_fills_is_an_error_that_leaves_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_describe", full)
    with pytest.raises(FetchError, match="No space left on device"):
        machine.fetch()
    assert machine.names() == [f"{machine.pair.name}.unavailable.json"]


def test_a_folder_that_cannot_be_written_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FetchError, match="no write permission"):
        machine.fetch()
    machine.root.rmdir()
    machine.root.write_text("a file in its place")
    with pytest.raises(FetchError, match="cannot be made"):
        machine.fetch()


def test_require_pinned_fetches_again_what_was_trusted_on_first_use(machine: Machine) -> None:
    machine.fetch()
    machine.work.clear()
    machine.fetch(require_pinned=True)
    assert "release" in machine.work


def test_a_second_fetch_waits_for_the_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.cache.mkdir()
    monkeypatch.setattr(fetch, "LONGEST_WAIT_S", 0.1)
    with FileLock(machine.cache / ".lock"), pytest.raises(FetchError, match="another fetch"):
        machine.fetch()
    assert "another fetch is under way" in machine.said[0]
    machine.fetch()


def change(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"#")


@pytest.mark.parametrize(
    ("which", "harm", "words"),
    [
        ("site-packages/itk.py", change, "itk.py: sha256 expected"),
        ("site-packages/itk.py", Path.unlink, "itk.py: is missing"),
        ("site-packages/itk-5.4.7.dist-info/RECORD", change, "RECORD: sha256 expected"),
        ("elastix/elastix-5/bin/elastix", change, "bin/elastix: sha256 expected"),
        ("elastix/elastix-5/lib/libANNlib.so", Path.unlink, "libANNlib.so: is missing"),
    ],
)
def test_verify_finds_what_was_changed(
    machine: Machine, which: str, harm: Callable[[Path], object], words: str
) -> None:
    one = machine.fetch()
    assert verify.pair_files(one) == []
    harm(one.folder / which)
    problems = verify.pair_files(one)
    assert len(problems) == 1
    assert words in problems[0]


def test_verify_finds_what_nobody_vouches_for(machine: Machine) -> None:
    one = machine.fetch()
    strangers = ("site-packages/sitecustomize.py", "site-packages/numpy/evil.so", "elastix/elastix-5/lib/libevil.so")
    for name in strangers:
        parts.program(one.folder / name)
    for name in ("site-packages/__pycache__/itk.pyc", "site-packages/.lock"):  # made here, when wheels are installed
        parts.program(one.folder / name)
    problems = verify.pair_files(one)
    assert len(problems) == len(strangers)
    assert all("was not there when the pair was fetched" in problem for problem in problems)


@pytest.mark.parametrize(
    "state", ["[]", "{}", "[" * 9999, '{"files": 3, "records": {}}', '{"files": {}, "records": 3}']
)
def test_verify_tells_a_damaged_list_of_files(machine: Machine, state: str) -> None:
    one = machine.fetch()
    (one.folder / "installed.json").write_text(state)
    (problem,) = verify.pair_files(one)
    assert "is damaged" in problem
    assert "fetch again" in problem


def test_verify_looks_at_everything_that_fetch_leaves(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPRO_IMAGES", raising=False)
    folder, pairs = machine.cache / "releases", [machine.pair]
    assert verify.everything(pairs, machine.root, machine.cache) == []
    machine.fetch()
    archive = parts.release(folder / "elastix-5.3.1.zip")
    downloads.write_atomically(folder / "trusted.json", json.dumps({archive.name: downloads.sha256_of(archive)}))
    assert verify.everything(pairs, machine.root, machine.cache) == []
    change(archive)
    (machine.cache / "images").mkdir()
    (machine.cache / "images" / "blobs.tif").write_bytes(b"half")
    (machine.root / machine.pair.name / "installed.json").write_text("{")
    problems = verify.everything(pairs, machine.root, machine.cache)
    for words in ("is damaged", "elastix-5.3.1.zip: sha256 expected", "blobs.tif: sha256 expected"):
        assert [problem for problem in problems if words in problem and "fetch again" in problem], words
    assert len(problems) == 3
    (folder / "trusted.json").write_text("{")
    assert any("trusted.json" in problem for problem in verify.everything(pairs, machine.root, machine.cache))


def test_verify_compares_packages_with_the_index_of_the_day(machine: Machine) -> None:
    package = machine.cache / "debian" / "sid" / "packages" / "libfoo.deb"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"package")
    one = machine.fetch()
    provenance = json.loads((one.folder / "provenance.json").read_text())
    provenance["parts"]["elastix"]["debs"] = {package.name: downloads.sha256_of(package)}
    (one.folder / "provenance.json").write_text(json.dumps(provenance))
    assert verify.everything([machine.pair], machine.root, machine.cache) == []
    change(package)
    (problem,) = verify.everything([machine.pair], machine.root, machine.cache)
    assert "libfoo.deb: sha256 expected" in problem


def test_offline_opens_no_socket_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr(apt.Apt, "update", forbidden)
    pair = load_pairs()["0.25.1-5.3.1"]
    with pytest.raises(UnavailableError, match="--offline") as caught:
        fetch_pair(pair, offline=True, root=tmp_path / "pairs", cache=tmp_path / "cache")
    assert "--source PATH" in str(caught.value)


@pytest.mark.real
@pytest.mark.parametrize("name", list(load_pairs()))
def test_a_fetched_pair_is_what_it_says(name: str) -> None:
    try:
        one = installed.load(load_pairs()[name])
    except UnavailableError as error:
        pytest.skip(str(error))
    executables.check_version(
        executables.Provided(one.cli_source, one.elastix_command, one.elastix_env), one.pair.elastix
    )
    versions = {package.name: package.version for package in wheels.installed_packages(one.site_packages)}
    assert versions["itk-elastix"] == one.pair.itk_elastix
    assert verify.pair_files(one) == []
