"""A build of the catalogue: fetched once, whole or absent, described, checked and verified."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import files
from repro.builds import archives, debian, executables, fetch, installed, pythons, staging, wheels
from repro.builds.catalogue import CatalogueBuild
from repro.builds.downloads import UnreachableError
from repro.builds.installed import InstalledBuild
from repro.errors import ConfigError, FetchError, UnavailableError
from repro.paths import ROOT
from repro.system.platforms import SYSTEM, current_platform, executable_name, library_path_variable, python_of
from support import builds_house, builds_wheels
from support.builds_house import House
from support.builds_server import Server, answer
from support.waiting import eventually, lives

CLI = CatalogueBuild("cli", "5.3.1", archives={current_platform(): "elastix-5.3.1.zip"}, debian_suites=("forky",))


def raise_full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def released(house: House, says: str = "5.3.1") -> None:
    """Let the release's archive be in the cache, trusted."""
    folder = house.cache / "releases"
    folder.mkdir(parents=True, exist_ok=True)
    file = builds_house.zipped(
        builds_house.layout(house.folder / f"release-{says}", says), folder / "elastix-5.3.1.zip"
    )
    trusted = {"elastix-5.3.1.zip": builds_house._sha256(file)}
    (folder / "trusted.json").write_text(json.dumps(trusted), encoding="utf-8")


def said_by(command: tuple[str, ...], build: InstalledBuild) -> str:
    done = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=True, env=os.environ | dict(build.environment)
    )
    return done.stdout


@pytest.fixture
def build(house: House) -> InstalledBuild:
    """A fetched api build."""
    return house.fetch(house.api())


@pytest.fixture
def release(house: House) -> InstalledBuild:
    """A fetched release."""
    house.knows(CLI)
    released(house)
    return house.fetch(CLI, offline=True)


# ---- wheels


def test_wheels_are_installed_once_and_described(house: House) -> None:
    api = house.api()
    build = house.fetch(api)
    assert (build.name, build.source, build.command) == ("api:0.25.4", "index", ())
    assert build.site_packages == house.root / "api-0.25.4" / "site-packages"
    assert build.facts["itk"] == "5.4.7"
    assert build.facts["packages"]["itk-elastix"]["version"] == "0.25.4"
    assert installed.load("api:0.25.4", house.root).build == build.build
    house.monkeypatch.setattr(wheels, "install", lambda *_, **__: pytest.fail("installed again"))
    assert house.fetch(api).build == build.build


def test_bytecode_is_compiled_by_the_python_that_will_load_it(build: InstalledBuild) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(build.site_packages)!r}); import itk_elastix; print(itk_elastix.VERSION)"
    )
    shown = subprocess.run([build.interpreter(), "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "0.25.4"
    assert installed.verify(build) == []  # nothing was compiled anew


def test_the_digest_is_the_same_wherever_the_same_files_are_installed(house: House, tmp_path: Path) -> None:
    api = house.api()
    first = house.fetch(api)
    second = fetch.fetch(api, root=tmp_path / "elsewhere", cache=house.cache)
    assert first.build == second.build


def test_an_edit_in_one_checkout_stays_there_and_goes_with_its_folder(house: House, tmp_path: Path) -> None:
    api = house.api()
    mine = house.fetch(api)
    other = fetch.fetch(api, root=tmp_path / "elsewhere", cache=house.cache)
    with (mine.folder / "site-packages" / "itk_elastix.py").open("a", encoding="utf-8") as stream:
        stream.write("print('looking into it')\n")
    assert len(installed.verify(mine)) == 1
    assert installed.verify(other) == []
    shutil.rmtree(mine.folder)
    assert installed.verify(house.fetch(api)) == []


def test_a_file_that_was_changed_in_uvs_cache_is_no_part_of_a_build(house: House, tmp_path: Path) -> None:
    api = house.api()
    shutil.rmtree(house.fetch(api).folder)
    for file in (tmp_path / "uv").glob("archive-*/*/itk_elastix.py"):
        file.write_text("VERSION = 'another'\n", encoding="utf-8")
    with pytest.raises(FetchError, match=r"itk_elastix.py: sha256 expected .* run `uv cache clean`"):
        house.fetch(api)
    assert house.left() == []


def test_a_changed_lock_is_noticed_and_fetched(house: House) -> None:
    api = house.api()
    before = house.fetch(api)
    house.api(itk="5.4.6")
    with pytest.raises(UnavailableError, match="was changed since it was fetched; run: "):
        installed.load("api:0.25.4", house.root)
    after = house.fetch(api)
    assert after.facts["itk"] == "5.4.6"
    assert after.build.digest != before.build.digest


def test_wheels_of_another_version_than_asked_for_are_refused_and_nothing_left(house: House) -> None:
    api = house.api()
    house.lock(api, [builds_wheels.make(house.index, "itk-elastix", "0.25.3")])
    with pytest.raises(FetchError, match=r"its wheels hold itk-elastix 0\.25\.3"):
        house.fetch(api)
    assert house.left() == []


def test_a_missing_lock_and_a_missing_uv_are_said(house: House, tmp_path: Path) -> None:
    api = house.api()
    api.lock.unlink()
    with pytest.raises(FetchError, match=r"api-0\.25\.4\.txt: cannot be read .*restore it"):
        house.fetch(api)
    house.api()
    house.monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    house.monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="uv, which installs the wheels, is not found"):
        wheels.find_uv()


def test_uv_is_stopped_after_the_total(house: House) -> None:
    api = house.api()
    house.monkeypatch.setattr(wheels, "INSTALL_TIMEOUT_S", 0.0)
    with pytest.raises(FetchError, match="did not install the wheels within 0 s"):
        house.fetch(api)
    assert house.left() == []


# ---- which Python


def pixi_python(house: House, python: str, environment: str = "pair-x") -> Path:
    """An environment of pixi with this Python, which is ours by another name."""
    prefix = house.folder / ".pixi" / "envs" / environment
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / f"python-{python}.5-h123.json").touch()
    program = python_of(prefix)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.symlink_to(sys.executable)
    return program


@pytest.mark.skipif(sys.platform == "win32", reason="makes a link")
def test_going_from_pixi_to_run_py_installs_nothing_anew(house: House) -> None:
    api = house.api(python="3.99")
    program = pixi_python(house, "3.99")
    house.monkeypatch.setenv("PIXI_PROJECT_ROOT", str(house.folder))
    assert pythons.target(api) == "3.99"
    assert installed.folder_of(api, house.root).name == "api-0.25.4"
    house.monkeypatch.delenv("PIXI_PROJECT_ROOT")
    assert pythons.find("3.99") == program
    assert installed.folder_of(api, house.root).name == "api-0.25.4"


def test_without_pixi_the_running_python_gets_a_folder_of_its_own(house: House) -> None:
    api = house.api(python="3.99")
    build = house.fetch(api)
    assert build.folder.name == f"api-0.25.4-{pythons.tag(pythons.running())}"
    assert build.name == "api:0.25.4"
    assert installed.load("api:0.25.4", house.root).build == build.build


def test_under_pixi_a_python_that_is_not_there_yet_is_said_with_the_command(house: House) -> None:
    api = house.api(python="3.99")
    house.monkeypatch.setenv("PIXI_PROJECT_ROOT", str(house.folder))
    with pytest.raises(UnavailableError, match=r"needs Python 3\.99, .*run: pixi install -e pair-x"):
        house.fetch(api)


@pytest.mark.skipif(sys.platform == "win32", reason="makes a link")
def test_under_pixi_the_pair_s_own_environment_runs_the_worker(house: House) -> None:
    pixi_python(house, pythons.running(), "default")
    program = pixi_python(house, pythons.running())
    assert pythons.find(pythons.running()) != program
    house.monkeypatch.setenv("PIXI_PROJECT_ROOT", str(house.folder))
    assert pythons.find(pythons.running()) == program


def test_a_python_that_is_gone_is_said(house: House, build: InstalledBuild) -> None:
    house.monkeypatch.setattr(pythons, "running", lambda: "3.98")
    with pytest.raises(UnavailableError, match="which is not here any more; run: "):
        build.interpreter()


# ---- executables


def test_a_release_comes_with_its_libraries_and_can_be_moved(release: InstalledBuild, tmp_path: Path) -> None:
    assert (release.name, release.source, release.facts["itk"]) == ("cli:5.3.1", "release", "5.4.7")
    if SYSTEM != "win32":
        assert Path(release.environment[library_path_variable()]) == release.folder / "elastix" / "lib"
    assert "elastix version: 5.3.1" in said_by(release.command, release)
    assert "transformix version: 5.3.1" in said_by(release.transformix() or (), release)
    moved = release.folder.rename(tmp_path / "moved")
    again = installed.read(moved, "")
    assert again.build == release.build
    assert str(moved) in again.command[-1]
    assert installed.verify(again) == []


def test_people_start_elastix_and_transformix_by_name(house: House) -> None:
    house.knows(CLI)
    released(house)
    environment = house.fetch(CLI, offline=True).environment_for_user({"PATH": os.environ["PATH"], "MINE": "1"})
    assert environment["MINE"] == "1"
    shell = ["cmd", "/c"] if SYSTEM == "win32" else ["sh", "-c"]
    for name in ("elastix", "transformix"):
        done = subprocess.run(
            [*shell, f"{name} --version -x"], env=environment, capture_output=True, text=True, check=True
        )
        assert f"{name} version: 5.3.1" in done.stdout
        assert "['--version', '-x']" in done.stdout


def test_the_wheels_come_last_on_the_module_path_of_people(build: InstalledBuild) -> None:
    found = build.environment_for_user({"PYTHONPATH": "mine", "PATH": "p"})
    assert found["PYTHONPATH"].split(os.pathsep) == ["mine", str(build.site_packages)]
    assert found["PATH"].split(os.pathsep) == [str(build.interpreter().parent), "p"]


@pytest.fixture
def sources(house: House) -> Callable[..., None]:
    """Says what the release and Debian give: a version, or the reason why not."""

    def set_up(release: str | Exception, debian_gives: str | Exception) -> None:
        def give(folder: Path, what: str | Exception, name: str) -> executables.Executable:
            if isinstance(what, Exception):
                raise what
            found = executables.from_path(builds_house.layout(folder, what))
            return dataclasses.replace(found, source=name, place=None)

        house.monkeypatch.setattr(fetch, "_from_release", lambda _, folder, *__: give(folder, release, "release"))
        house.monkeypatch.setattr(debian, "unpack", lambda *to, **_: give(to[2], debian_gives, "debian forky"))

    house.knows(CLI)
    return set_up


def test_each_source_is_tried_in_order_and_its_reason_told(house: House, sources: Callable[..., None]) -> None:
    sources(UnreachableError("no route"), UnreachableError("no apt"))
    with pytest.raises(UnavailableError, match=r"release: no route; debian: no apt; .*--source PATH"):
        house.fetch(CLI)
    assert house.left() == []
    sources(UnreachableError("no route"), "5.3.1")
    assert house.fetch(CLI).source == "debian forky"


def test_a_release_that_does_not_run_here_gives_way_to_debian(house: House, sources: Callable[..., None]) -> None:
    sources("fails", "5.3.1")
    assert house.fetch(CLI).source == "debian forky"


def test_a_release_of_another_version_does_not_give_way(house: House, sources: Callable[..., None]) -> None:
    sources("5.3.2", "5.3.1")
    with pytest.raises(FetchError, match=r"is elastix 5\.3\.2, expected 5\.3\.1"):
        house.fetch(CLI)
    assert house.left() == []


def test_another_source_is_fetched_when_asked_for(house: House, sources: Callable[..., None]) -> None:
    sources("5.3.1", "5.3.1")
    assert house.fetch(CLI).source == "release"
    assert house.fetch(CLI, source="debian").source == "debian forky"
    assert house.fetch(CLI).source == "debian forky"


def test_a_program_that_hangs_is_stopped(house: House, sources: Callable[..., None]) -> None:
    house.monkeypatch.setattr(executables, "_VERSION_TIMEOUT_S", 0.2)
    sources("hangs", UnreachableError("no apt"))
    with pytest.raises(UnavailableError, match="does not run here"):
        house.fetch(CLI)


def test_require_pinned_refuses_a_release_that_nobody_pinned(house: House) -> None:
    house.knows(CLI)
    released(house)
    house.fetch(CLI, source="release", offline=True)
    with pytest.raises(UnavailableError, match="--require-pinned"):
        house.fetch(CLI, source="release", require_pinned=True)
    assert installed.load("cli:5.3.1", house.root).source == "release"  # what was there stays


def release_that_leaves(mark: Path) -> bytes:
    """A release whose program leaves a mark when it runs."""
    program = mark.parent / f"{mark.name}-release" / "bin" / "elastix"
    program.parent.mkdir(parents=True)
    text = f"#!{sys.executable} -IS\nopen({str(mark)!r}, 'w')\nprint('elastix version: 5.3.1')\n"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return builds_house.zipped(program.parent.parent, mark.with_suffix(".zip")).read_bytes()


@pytest.mark.skipif(SYSTEM == "win32", reason="a script stands for the executable")
@pytest.mark.parametrize("pinned", [True, False])
def test_nothing_of_a_release_runs_before_it_is_verified(
    house: House, server: Server, tmp_path: Path, pinned: bool
) -> None:
    good, evil = release_that_leaves(tmp_path / "good"), release_that_leaves(tmp_path / "evil")
    digest = hashlib.sha256(good).hexdigest()
    cli = dataclasses.replace(CLI, sha256={current_platform(): digest} if pinned else {})
    house.monkeypatch.setattr(fetch, "RELEASES", server.url())
    server.answers = [answer(body=good), answer(body=evil)]
    build = house.fetch(cli, source="release")
    assert (tmp_path / "good").exists()  # it was asked for its version
    shutil.rmtree(build.folder)
    (house.cache / "releases" / "elastix-5.3.1.zip").unlink()
    with pytest.raises(FetchError, match=rf"elastix-5\.3\.1\.zip: .*sha256 expected {digest}"):
        house.fetch(cli, source="release")
    assert not (tmp_path / "evil").exists()
    assert house.left() == []


def test_offline_names_what_each_source_lacks(house: House) -> None:
    house.knows(CLI)
    with pytest.raises(UnavailableError, match=r"release: elastix-5\.3\.1\.zip: is not in .*--offline.*; debian: "):
        house.fetch(CLI, offline=True)


def test_a_source_that_is_not_there_says_so(house: House) -> None:
    house.knows(CLI)
    with pytest.raises(ConfigError, match=r"nowhere: there is no such file or folder; look for a typing error"):
        house.fetch(CLI, source=str(house.folder / "nowhere"))


def test_a_given_executable_stays_where_it_is_and_its_place_out_of_the_facts(house: House, tmp_path: Path) -> None:
    house.knows(CLI)
    mine = builds_house.layout(tmp_path / "mine")
    build = house.fetch(CLI, source=str(mine))
    assert Path(build.command[0]) == mine / "bin" / executable_name("elastix")
    assert build.source == "given"
    assert str(tmp_path) not in json.dumps(dict(build.facts))
    assert installed.verify(build) == []
    with pytest.raises(FetchError, match=r"is elastix 5\.3\.2, expected 5\.3\.1"):
        house.fetch(CLI, source=str(builds_house.layout(tmp_path / "other", "5.3.2")))
    assert house.fetch(CLI, source=str(mine)).build == build.build


def test_the_same_version_with_other_libraries_is_another_build(house: House, tmp_path: Path) -> None:
    """Debian's 5.3.1 was linked to ITK 5.4.5 one week and to 5.4.7 the next."""
    house.knows(CLI)
    first = house.fetch(CLI, source=str(builds_house.layout(tmp_path / "a")))
    other = builds_house.layout(tmp_path / "b")
    (other / "lib" / "libANNlib-5.3.so").write_bytes(b"of another day")
    (other / "lib" / "one.dll").write_bytes(b"x")
    (other / "bin" / "one.dll").write_bytes(b"x")
    second = house.fetch(CLI, source=str(other))
    assert first.name == second.name
    assert first.build.digest != second.build.digest


# ---- what is there, checked and verified


def change(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize(
    "name",
    ["site-packages/itk_elastix.py", "bytecode", "site-packages/itk_elastix-0.25.4.dist-info/RECORD"],
)
def test_a_file_that_changed_since_fetch_ends_the_session_and_is_found_by_verify(
    build: InstalledBuild, name: str
) -> None:
    installed.check(build)
    file = next(build.folder.rglob("itk_elastix.*.pyc")) if name == "bytecode" else build.folder / name
    change(file, b"changed")
    with pytest.raises(
        ConfigError, match=rf"api:0\.25\.4 is not what was fetched: .*{file.name}: sha256 expected .*delete"
    ):
        installed.check(build)
    assert len(installed.verify(build)) == 1


def test_files_deeper_than_windows_reaches_are_checked(house: House, build: InstalledBuild) -> None:
    assert build.site_packages
    deep, reached = build.site_packages / "itk_elastix.py", house.folder / "reached.py"
    deep.rename(reached)  # from now on only the long form of its name leads to it
    house.monkeypatch.setattr(installed, "long_path", lambda path: str(reached if path == deep else path))
    installed.check(build)
    assert installed.verify(build) == []
    reached.write_text("CHANGED = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"itk_elastix\.py|reached\.py"):
        installed.check(build)


def test_a_file_that_was_only_touched_is_the_same(build: InstalledBuild) -> None:
    file = build.folder / "site-packages" / "itk_elastix.py"
    os.utime(file, ns=(1, 1))
    installed.check(build)
    assert installed.verify(build) == []


def test_verify_reads_every_byte_where_check_compares_size_and_time(build: InstalledBuild) -> None:
    file = build.folder / "site-packages" / "itk_elastix.py"
    before = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    installed.check(build)
    assert len(installed.verify(build)) == 1


@pytest.mark.parametrize("name", ["site-packages/sitecustomize.py", "site-packages/__pycache__/x.cpython-311.pyc"])
def test_a_stranger_is_found(build: InstalledBuild, name: str) -> None:
    (build.folder / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match="was not there when the build was fetched"):
        installed.check(build)
    assert len(installed.verify(build)) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("command", ["/bin/true"]), ("environment", {"LD_PRELOAD": "evil.so"}), ("python_tag", "cp311"), ("files", {})],
)
def test_a_changed_description_is_not_run(house: House, release: InstalledBuild, key: str, value: object) -> None:
    file = release.folder / "build.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    with pytest.raises(UnavailableError, match=r"build\.json was changed since it was fetched"):
        installed.load("cli:5.3.1", house.root)
    assert house.fetch(CLI, offline=True).build == release.build


def test_a_changed_start_script_is_found(release: InstalledBuild) -> None:
    next(file for file in (release.folder / "bin").iterdir() if file.stem == "elastix").write_text(
        "x", encoding="utf-8"
    )
    assert len(installed.verify(release)) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', "\udcff"])
def test_a_damaged_description_is_told_and_fetched_anew(house: House, release: InstalledBuild, text: str) -> None:
    (release.folder / "build.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UnavailableError, match="is damaged; delete it and fetch again"):
        installed.load("cli:5.3.1", house.root)
    assert house.fetch(CLI, offline=True).build == release.build


def test_what_is_not_fetched_or_not_for_this_platform_says_so(house: House) -> None:
    nowhere = dataclasses.replace(CLI, version="5.2.0", unavailable={current_platform(): "there is none"})
    house.knows(CLI, nowhere)
    with pytest.raises(UnavailableError, match=r"cli:5\.3\.1 is not fetched; run: .*fetch cli:5\.3\.1"):
        installed.load("cli:5.3.1", house.root)
    why = rf"cli:5\.2\.0 cannot be had on {current_platform()}: there is none"
    with pytest.raises(UnavailableError, match=why):
        installed.load("cli:5.2.0", house.root)
    with pytest.raises(UnavailableError, match=why):
        house.fetch(nowhere)
    assert house.left() == []


# ---- whole or absent


@pytest.mark.parametrize("step", ["wheels.install", "installed.write", "staging.swap_in"])
def test_stopping_at_any_step_leaves_no_part_and_keeps_what_was_there(house: House, step: str) -> None:
    api = house.api()
    before = house.fetch(api)
    house.api(itk="5.4.6")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with house.monkeypatch.context() as patch:
        patch.setattr(f"repro.builds.{step}", stop)
        with pytest.raises(KeyboardInterrupt):
            house.fetch(api)
    assert house.left() == ["api-0.25.4"]
    assert installed.verify(before) == []


def test_the_old_folder_comes_back_where_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place = tmp_path / ".tmp-new", tmp_path / "api-1"
    for folder, text in ((new, "new"), (place, "old")):
        folder.mkdir()
        (folder / "file").write_text(text, encoding="utf-8")
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self == new:
            raise PermissionError("in use")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PermissionError):
        staging.swap_in(new, place)
    assert (place / "file").read_text(encoding="utf-8") == "old"


def test_what_a_killed_fetch_left_is_cleared_away_by_the_next_whoever_it_was(house: House) -> None:
    house.knows(CLI)
    released(house)
    (house.root / ".tmp-api-0.25.4-1").mkdir(parents=True)  # process 1 is always alive
    (house.root / ".tmp-api-0.25.4-1" / "half").touch()
    (house.cache / "releases" / ".tmp-x").mkdir()
    house.fetch(CLI, offline=True)
    assert house.left() == ["cli-5.3.1"]
    assert not (house.cache / "releases" / ".tmp-x").exists()


def test_what_another_fetch_is_making_stays(house: House) -> None:
    house.knows(CLI)
    released(house)
    inside, over = threading.Event(), threading.Event()

    def other() -> None:
        with staging.alone(house.root, say=print), staging.new_folder(house.root, 0) as folder:
            (folder / "half").touch()
            inside.set()
            over.wait(20)
            assert (folder / "half").exists()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(20)
    done: list[InstalledBuild] = []
    fetching = threading.Thread(target=lambda: done.append(house.fetch(CLI, offline=True)))
    fetching.start()
    while not house.said:
        fetching.join(0.01)
    assert "another fetch is under way" in house.said[0]
    assert not done
    over.set()
    thread.join(20)
    fetching.join(20)
    assert done


def test_too_little_disk_is_said_before_anything_is_fetched(house: House) -> None:
    api = house.api()
    usage = shutil.disk_usage(house.folder)
    house.monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    with pytest.raises(FetchError, match=r"1\.0 GB of disk are free, 2\.1 GB are needed; make room"):
        house.fetch(api)


def test_a_disk_that_fills_is_a_message_that_names_the_cure_and_leaves_nothing(house: House) -> None:
    house.knows(CLI)
    released(house)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(house.root / "x"))

    house.monkeypatch.setattr(archives, "unpack", full)
    with pytest.raises(FetchError, match=r"x: cannot be written: No space left on device; make room, then fetch again"):
        house.fetch(CLI, offline=True)
    assert house.left() == []


@pytest.mark.skipif(SYSTEM == "win32", reason="a script stands for uv")
def test_a_disk_that_fills_under_uv_or_the_description_is_not_the_network_s_fault(house: House) -> None:
    api = house.api()
    full = r"cannot be written: No space left on device; make room, then fetch again"
    with house.monkeypatch.context() as patch:
        patch.setattr(files, "_umask", raise_full)
        with pytest.raises(FetchError, match=full):
            house.fetch(api)
    uv = house.folder / "full-uv"
    uv.write_text("#!/bin/sh\necho 'error: No space left on device (os error 28)' >&2; exit 2\n", encoding="utf-8")
    uv.chmod(0o755)
    house.monkeypatch.setattr(wheels, "find_uv", lambda: uv)
    with pytest.raises(FetchError, match=full):
        house.fetch(api)
    assert house.left() == []


def test_a_folder_that_cannot_be_written_is_said(house: House) -> None:
    house.knows(CLI)
    house.root.write_text("a file in its place", encoding="utf-8")
    with pytest.raises(FetchError, match="builds: cannot be written"):
        house.fetch(CLI)
    house.root.unlink()
    house.monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FetchError, match="no write permission; fetch as the user who owns the checkout"):
        house.fetch(CLI)


# ---- uv is ended with the fetch

HANGS = """#!{python} -IS
import os, pathlib, sys, time
pathlib.Path({file!r}).write_text(str(os.getpid()))
print("Downloading x", file=sys.stderr, flush=True)
time.sleep(300)
"""
scripts = pytest.mark.skipif(sys.platform == "win32", reason="a script stands for uv here")


def hanging_uv(folder: Path) -> Path:
    program = folder / "uv"
    program.write_text(HANGS.format(python=sys.executable, file=str(folder / "pid")), encoding="utf-8")
    program.chmod(0o755)
    return program


def ended(folder: Path) -> bool:
    return eventually(lambda: not lives(int((folder / "pid").read_text(encoding="utf-8"))))


@scripts
def test_ctrl_c_ends_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels, "find_uv", lambda: hanging_uv(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        wheels.install("x", tmp_path / "lock", tmp_path / "to", Path(sys.executable), offline=False, say=interrupted)
    assert ended(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_uv_ends_with_a_killed_fetch(tmp_path: Path) -> None:
    hanging_uv(tmp_path)
    parent = (
        "import sys\nfrom pathlib import Path\nfrom repro.builds import wheels\nhere = Path(sys.argv[1])\n"
        "wheels.find_uv = lambda: here / 'uv'\n"
        "wheels.install('x', here / 'lock', here / 'to', here, offline=False, say=lambda _: print(flush=True))"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", parent, str(tmp_path)]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE) as fetching:
        assert fetching.stdout is not None
        fetching.stdout.readline()
        fetching.kill()
    assert ended(tmp_path)
