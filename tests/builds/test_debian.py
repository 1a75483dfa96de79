"""Debian's packages: where the mirror is read from, which version is taken, what is unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from repro.builds import debian
from repro.builds.debian import Apt, Record
from repro.builds.downloads import UnreachableError
from repro.builds.executables import Executable
from repro.errors import FetchError


@pytest.mark.parametrize(
    ("uri", "debian_s"),
    [
        ("http://mirror.example/debian", True),
        ("http://mirror.example/debian/", True),
        ("https://mirror.example/pub/linux/debian", True),
        ("mirror+file:/etc/apt/mirrors/debian.list", True),
        ("http://security.example/debian-security", False),
        ("http://archive.example/ubuntu", False),
        ("cdrom:[Debian GNU/Linux]/debian", False),
    ],
)
def test_the_mirror_is_the_machine_s_own_of_debian_s_main_archive(uri: str, debian_s: bool) -> None:
    assert debian._is_debian(uri) == debian_s


def test_the_mirrors_are_asked_of_apt_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = subprocess.CompletedProcess([], 0, "http://a.example/debian\nhttp://a.example/debian\nhttp://b.example/x\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: shown)
    assert debian._machine_uris() == ["http://a.example/debian", "http://b.example/x"]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("5.2.0-2", "5.2.0"),
        ("5.3.1-1+b2", "5.3.1"),
        ("1:5.3.1+dfsg-1~bpo1", "5.3.1"),
        ("5.3.1", "5.3.1"),
        ("5.3.1~rc1-1", "5.3.1~rc1"),
    ],
)
def test_upstream_version(version: str, upstream: str) -> None:
    assert debian.upstream_version(version) == upstream


def test_a_record_of_the_index_is_read() -> None:
    text = (
        "Package: elastix\nArchitecture: amd64\nVersion: 1:5.3.1-1\nPre-Depends: dpkg\n"
        "Depends: libc6 (>= 2.38), libblas3 | libblas.so.3, zlib1g (>= 1:1.1.4)\nProvides: registration (= 5), r2\n"
        "Filename: pool/main/e/elastix/elastix_5.3.1-1_amd64.deb\nSize: 10868968\nSHA256: ab\n"
    )
    record = debian._record(text)
    assert record is not None
    assert record.file == "elastix_1%3a5.3.1-1_amd64.deb"
    assert record.needs == {"dpkg", "libc6", "libblas3", "libblas.so.3", "zlib1g"}
    assert record.provides == {"registration", "r2"}
    assert record.bytes == 10868968
    assert debian._record("Package: virtual\n") is None


def test_the_private_root_verifies_and_runs_no_hook_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::http "";\n'
        'Acquire::AllowInsecureRepositories "1";\nAcquire::https::Verify-Peer "false";\n'
        'APT::Update::Post-Invoke:: "rm -rf /";\nAcquire::Check-Valid-Until "false";\n'
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, machine))
    certificates = tmp_path / "ca.pem"
    certificates.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates))
    lines = debian._configuration(tmp_path).splitlines()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in lines
    assert 'Acquire::Check-Valid-Until "false";' in lines
    assert f'Acquire::https::CAInfo "{certificates}";' in lines
    assert 'Acquire::AllowInsecureRepositories "false";' in lines
    assert not [line for line in lines if "Post-Invoke" in line or ("Insecure" in line and '"1"' in line)]
    for setting in ("Dir::Etc::parts", "Dir::Etc::main", "Dir::Etc::sourceparts"):
        assert f'{setting} "-";' in lines


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnreachableError, match="no apt-get"):
        Apt.prepare("trixie", tmp_path)


def test_a_machine_without_debians_keyring_or_mirror_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(debian, "KEYRINGS", (str(tmp_path / "none.gpg"),))
    with pytest.raises(UnreachableError, match="keyring"):
        Apt.prepare("trixie", tmp_path)
    (tmp_path / "key.gpg").touch()
    monkeypatch.setattr(debian, "KEYRINGS", (str(tmp_path / "key.gpg"),))
    monkeypatch.setattr(debian, "_machine_uris", lambda: ["http://archive.example/ubuntu"])
    with pytest.raises(UnreachableError, match="no mirror of Debian"):
        Apt.prepare("trixie", tmp_path)


def test_a_package_is_used_only_with_the_checksum_of_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a package"
    good = Record("p", "1", "p_1_all.deb", hashlib.sha256(content).hexdigest(), 9, frozenset(), frozenset())
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / good.file).write_bytes(content)
    fetched: list[str] = []
    monkeypatch.setattr(Apt, "run", lambda _, *command, **__: fetched.append(command[-1]))
    here = Apt("sid", tmp_path, {})
    assert here.packages([good], offline=True) == [tmp_path / "packages" / good.file]
    (tmp_path / "packages" / good.file).write_bytes(b"tampered")
    with pytest.raises(UnreachableError, match="--offline"):
        here.packages([good], offline=True)
    assert fetched == []
    with pytest.raises(FetchError, match=f"expected {good.sha256}, found"):
        here.packages([good], offline=False)
    assert fetched == ["p=1"]


def test_tidying_keeps_what_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "cache").mkdir()
    for name in ("new.deb", "old.deb"):
        (tmp_path / "packages" / name).touch()
    Apt("sid", tmp_path, {}).tidy(["new.deb"])
    assert [one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*")] == ["packages", "packages/new.deb"]


def record(name: str, *needs: str, size: int = 1, provides: str = "", version: str = "5.3.1-1") -> Record:
    return Record(name, version, f"{name}.deb", name, size, frozenset(needs), frozenset({provides} - {""}))


class FakeApt(Apt):
    """The packages of each suite, or the reason why it cannot be reached: apt without Debian."""

    suites: dict[str, list[Record] | UnreachableError]
    asked: list[str]

    @classmethod
    def prepare(cls, suite: str, root: Path) -> Apt:
        cls.asked.append(suite)
        (root / "packages").mkdir(parents=True)
        return cls(suite, root, {})

    def update(self) -> None:
        self.closure("elastix")

    def closure(self, package: str) -> dict[str, Record]:
        found = self.suites[self.suite]
        if isinstance(found, UnreachableError):
            raise found
        return {one.name: one for one in found}

    def records(self, names: Iterable[str]) -> dict[str, Record]:
        return {name: one for name, one in self.closure("elastix").items() if name in names}

    def packages(self, records: Iterable[Record], offline: bool) -> list[Path]:
        return [Path(one.file) for one in records]


class FakeStage:
    """Packages as sets of libraries, each with what it needs: the stage without Debian."""

    libraries: dict[str, dict[str, set[str]]]

    def __init__(self, work: Path) -> None:
        self.work = work
        work.mkdir(parents=True)
        self.added: dict[str, str] = {}
        self.loader = Path("ld.so")
        self.order: list[str] = []

    def add(self, package: str, _: Path) -> None:
        self.order.append(package)
        self.added |= dict.fromkeys(self.libraries[package], package)

    def loaded(self) -> set[str]:
        needs = {name: needed for libs in self.libraries.values() for name, needed in libs.items()}
        seen, wave = set[str](), {"elastix"}
        while wave := wave - seen:
            seen |= wave
            wave = {one for name in wave if name in self.added for one in needs.get(name, ())}
        return seen

    def missing(self) -> set[str]:
        return self.loaded() - self.added.keys()

    def owners(self) -> set[str]:
        return {self.added[name] for name in self.loaded() if name in self.added}

    def keep(self, folder: Path) -> set[str]:
        folder.mkdir()
        (folder / "order").write_text(" ".join(self.order), encoding="utf-8")
        return self.owners()


@pytest.fixture
def unpack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Executable]:
    """Unpacks 5.3.1 of these suites and libraries."""

    def run(
        suites: dict[str, list[Record] | UnreachableError], libraries: dict[str, dict[str, set[str]]]
    ) -> Executable:
        monkeypatch.setattr(FakeApt, "suites", suites, raising=False)
        monkeypatch.setattr(FakeApt, "asked", [], raising=False)
        monkeypatch.setattr(FakeStage, "libraries", libraries, raising=False)
        monkeypatch.setattr(debian, "Apt", FakeApt)
        monkeypatch.setattr(debian, "_Stage", FakeStage)
        found = debian.unpack("5.3.1", suites, tmp_path / "out", cache=tmp_path / "cache", offline=False, say=print)
        assert not (tmp_path / "out.unpacking").exists()
        return found

    return run


def test_the_first_suite_with_the_version_is_taken_and_no_other_asked(unpack: Callable[..., Executable]) -> None:
    suites: dict[str, list[Record] | UnreachableError] = {
        "a": UnreachableError("no route"),
        "b": [record("elastix", version="5.2.0-2")],
        "c": [record("elastix")],
        "d": [record("elastix", version="5.3.1-2")],
    }
    found = unpack(suites, {"elastix": {"elastix": set()}})
    assert (found.source, found.facts["package_version"]) == ("debian c", "5.3.1-1")
    assert FakeApt.asked == ["a", "b", "c"]


def test_no_suite_with_the_version_tells_of_each(unpack: Callable[..., Executable]) -> None:
    with pytest.raises(UnreachableError) as caught:
        unpack({"a": UnreachableError("no route"), "b": [record("elastix", version="5.2.0-2")], "c": []}, {})
    for words in ("a: no route", "b: its elastix is 5.2.0-2, not 5.3.1", "c: it has no package"):
        assert words in str(caught.value)
    with pytest.raises(UnreachableError, match="no Debian suite"):
        unpack({}, {})


@pytest.mark.parametrize(
    ("records", "libraries", "unpacked", "kept"),
    [
        pytest.param(
            [
                record("elastix", "itk"),
                record("itk", "hdf5", "vtk", "blas-any"),
                record("hdf5", "curl"),
                record("curl"),
                record("vtk", "qt", size=debian.LARGE_BYTES),
                record("qt"),
                record("openblas", provides="blas-any"),
            ],
            {
                "elastix": {"elastix": {"itk.so"}},
                "itk": {"itk.so": {"hdf5.so", "blas.so"}},
                "hdf5": {"hdf5.so": set(), "hdf5_unused.so": {"curl.so"}},
                "openblas": {"blas.so": set()},
                **{name: {f"{name}.so": set()} for name in ("curl", "vtk", "qt")},
            },
            "elastix itk hdf5 openblas",
            "elastix itk hdf5 openblas",
            id="only packages behind loaded libraries",
        ),
        pytest.param(
            [record("elastix", "vtk", "small"), record("vtk", size=debian.LARGE_BYTES), record("small")],
            {"elastix": {"elastix": {"vtk.so"}}, "vtk": {"vtk.so": set()}, "small": {"small.so": set()}},
            "elastix vtk small",
            "elastix vtk",
            id="a large one when nothing else helps",
        ),
        pytest.param(
            [record("elastix"), record("far")],
            {"elastix": {"elastix": {"far.so"}}, "far": {"far.so": set()}},
            "elastix far",
            "elastix far",
            id="one outside the direct dependencies",
        ),
    ],
)
def test_packages_are_unpacked_until_every_library_that_is_loaded_is_there(
    unpack: Callable[..., Executable],
    tmp_path: Path,
    records: list[Record],
    libraries: dict[str, dict[str, set[str]]],
    unpacked: str,
    kept: str,
) -> None:
    found = unpack({"sid": records}, libraries)
    assert set((tmp_path / "out" / "order").read_text(encoding="utf-8").split()) == set(unpacked.split())
    assert found.facts["debs"].keys() == {f"{name}.deb" for name in kept.split()}
    lib = tmp_path / "out" / "lib"
    assert found.command == (str(lib / "ld.so"), "--library-path", str(lib), str(tmp_path / "out" / "elastix"))


def test_a_library_that_no_package_has_is_an_error(unpack: Callable[..., Executable]) -> None:
    with pytest.raises(FetchError, match=r"no package of elastix has nowhere\.so"):
        unpack({"sid": [record("elastix")]}, {"elastix": {"elastix": {"nowhere.so"}}})


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_a_package_is_unpacked_into_one_flat_folder_of_libraries(tmp_path: Path) -> None:
    for name, owner in (("libfoo.so.1.2", "libfoo1"), ("libother.so.1", "elastix")):
        tree = tmp_path / owner
        lib = tree / "usr/lib/x86_64-linux-gnu/deep"
        lib.mkdir(parents=True)
        (lib / name).write_text("library", encoding="utf-8")
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(
            f"Package: {owner}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n",
            encoding="utf-8",
        )
        (tree / "usr/bin").mkdir()
        (tree / "usr/bin/elastix").write_text("program", encoding="utf-8")
    (tmp_path / "libfoo1/usr/lib/x86_64-linux-gnu/deep/libfoo.so.1").symlink_to("libfoo.so.1.2")
    stage = debian._Stage(tmp_path / "work")
    for owner in ("libfoo1", "elastix"):
        deb = tmp_path / f"{owner}.deb"
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", tmp_path / owner, deb], check=True, capture_output=True
        )
        stage.add(owner, deb)
    assert sorted(one.name for one in stage.lib.iterdir()) == ["libfoo.so.1", "libfoo.so.1.2", "libother.so.1"]
    assert (stage.lib / "libfoo.so.1").read_text(encoding="utf-8") == "library"
    assert stage.owner == {"libfoo.so.1": "libfoo1", "libfoo.so.1.2": "libfoo1", "libother.so.1": "elastix"}
    assert stage.programs[0].read_text(encoding="utf-8") == "program"
    assert stage.missing() == {"the dynamic loader"}
    assert stage.owners() == {"elastix"}
    with pytest.raises(FetchError, match="dpkg-deb failed"):
        stage.add("libfoo1", Path(__file__))


def test_a_library_of_the_machine_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = debian._Stage(tmp_path / "work")
    for name in ("ld-linux-x86-64.so.2", "libfoo.so.1"):
        (stage.lib / name).touch()
    shown = (
        "\tlinux-vdso.so.1 (0x00007f)\n"
        f"\tlibfoo.so.1 => {stage.lib}/libfoo.so.1 (0x00007f)\n"
        "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n"
        "\tlibnone.so.5 => not found\n"
        f"\t/lib64/ld-linux-x86-64.so.2 => {stage.lib}/ld-linux-x86-64.so.2 (0x00007f)\n"
    )
    monkeypatch.setattr(debian, "_run", lambda *_: shown)
    assert stage.missing() == {"libz.so.1", "libnone.so.5"}


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (subprocess.TimeoutExpired("apt-get", 1), "did not finish"),
        (subprocess.CompletedProcess([], 100, "", "W: first\nE: Failed to fetch the index\n"), "to fetch the index"),
    ],
)
def test_what_ends_apt_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: Exception | subprocess.CompletedProcess[str], words: str
) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        if isinstance(ends, Exception):
            raise ends
        return ends

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UnreachableError, match=words):
        Apt("sid", tmp_path, {}).update()


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
@pytest.mark.parametrize("first", ["lib64", "x86_64-linux-gnu"])
def test_the_loader_wins_over_a_link_to_it_in_whatever_order_the_disk_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    tree, name = tmp_path / "libc6", "ld-linux-x86-64.so.2"
    (tree / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    (tree / "usr/lib64").mkdir()
    (tree / "usr/lib/x86_64-linux-gnu" / name).write_text("loader", encoding="utf-8")
    (tree / "usr/lib64" / name).symlink_to(f"../lib/x86_64-linux-gnu/{name}")
    monkeypatch.setattr(debian, "_run", lambda command: shutil.copytree(tree, command[-1], symlinks=True))
    stage = debian._Stage(tmp_path / "work")

    def walk(top: Path) -> list[tuple[str, list[str], list[str]]]:
        places = [top / "usr/lib/x86_64-linux-gnu", top / "usr/lib64"]
        places.sort(key=lambda one: one.name != first)
        return [(str(one), [], [name]) for one in places]

    monkeypatch.setattr(os, "walk", walk)
    stage.add("libc6", tmp_path / "libc6.deb")
    assert stage.loader.read_text(encoding="utf-8") == "loader"
    assert not stage.loader.is_symlink()
