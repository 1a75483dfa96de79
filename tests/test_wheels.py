"""Wheels: how uv is asked, what its answers become, and what the committed locks hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import parts
from repro import layout
from repro.builds import downloads, wheels
from repro.builds.config import load_pairs
from repro.errors import FetchError
from repro.model import Pair
from waiting import eventually, lives

PAIRS = load_pairs()
scripts = pytest.mark.skipif(sys.platform == "win32", reason="a script stands for uv here")


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for uv: writes down how it was called, then does what ``uv.does`` says."""
    text = (
        f"#!{sys.executable} -IS\nimport json, os, pathlib, sys\nhere = pathlib.Path(__file__).parent\n"
        "(here / 'called.txt').write_text('\\n'.join(sys.argv[1:]))\n"
        "(here / 'certificates.txt').write_text(os.environ.get('SSL_CERT_FILE', ''))\n"
        "exec((here / 'does.py').read_text())\n"
    )
    program = parts.program(tmp_path / "bin" / "uv", text)
    monkeypatch.setattr(wheels, "find_uv", lambda: program)
    (program.parent / "does.py").write_text("")
    return program


def called(uv: Path) -> list[str]:
    return (uv.parent / "called.txt").read_text().splitlines()


@scripts
def test_the_lock_is_resolved_as_of_the_end_of_the_day(uv: Path) -> None:
    (uv.parent / "does.py").write_text("print(sys.stdin.read().strip() + ' \\\\\\n    --hash=sha256:00')")
    text = wheels.lock_wheels(parts.pair())
    assert {"--universal", "--generate-hashes", "--python-version=3.11", "--exclude-newer=2026-08-23T00:00:00Z"} <= set(
        called(uv)
    )
    header, body = text.split("itk-elastix==0.25.4 \\\n", 1)
    assert body == "    --hash=sha256:00\n"
    assert all(line.startswith("# ") for line in header.splitlines())
    assert "as of 2026-08-22" in header
    assert str(uv.parent) not in text


@scripts
def test_no_solution_is_told_in_uvs_words(uv: Path) -> None:
    (uv.parent / "does.py").write_text("sys.exit('No solution found: because')")
    with pytest.raises(FetchError, match=r"itk-elastix==0\.25\.4 as of 2026-08-22.*No solution found"):
        wheels.lock_wheels(parts.pair())


@scripts
def test_wheels_are_installed_by_hash_and_never_built(
    uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, said = _with_lock(tmp_path, monkeypatch), list[str]()
    (uv.parent / "does.py").write_text("print('Downloading itk-core (77.2MiB)\\nResolved 9', file=sys.stderr)")
    wheels.install(pair, tmp_path / "target", offline=True, say=said.append)
    assert {
        "--require-hashes",
        "--only-binary=:all:",
        "--no-deps",
        "--offline",
        f"--target={tmp_path / 'target'}",
        f"--python-version={sys.version_info.major}.{sys.version_info.minor}",
    } <= set(called(uv))
    assert said == [f"{pair.name}: Downloading itk-core (77.2MiB)"]
    wheels.install(pair, tmp_path / "target")
    assert "--offline" not in called(uv)


@scripts
@pytest.mark.parametrize(("offline", "cure"), [(True, "with network"), (False, "index reachable")])
def test_a_failed_installation_keeps_the_last_lines(
    uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, cure: str
) -> None:
    pair = _with_lock(tmp_path, monkeypatch)
    (uv.parent / "does.py").write_text(
        "sys.exit('chatter\\n' * 100000 + 'Hash mismatch for itk: Expected a Computed b')"
    )
    with pytest.raises(FetchError, match=f"{cure}(.|\n)*Hash mismatch for itk") as caught:
        wheels.install(pair, tmp_path / "target", offline=offline)
    assert len(str(caught.value)) < 1_000


@scripts
def test_the_users_certificates_reach_uv(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    certificates = tmp_path / "ca.pem"
    certificates.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates))
    wheels.install(_with_lock(tmp_path, monkeypatch), tmp_path / "target")
    assert (uv.parent / "certificates.txt").read_text() == str(certificates)


@scripts
def test_uv_is_stopped_after_the_total(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "INSTALL_TIMEOUT_S", 0.3)
    (uv.parent / "does.py").write_text("import time\ntime.sleep(60)")
    with pytest.raises(FetchError, match=r"within 0\.3 s and was stopped; fetch again"):
        wheels.install(_with_lock(tmp_path, monkeypatch), tmp_path / "target")


_HANGS = "(here / 'pid').write_text(str(os.getpid()))\nprint('Downloading x', file=sys.stderr, flush=True)\n"
_HANGS += "import time\ntime.sleep(300)"


@scripts
def test_ctrl_c_ends_uv(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    (uv.parent / "does.py").write_text(_HANGS)
    with pytest.raises(KeyboardInterrupt):
        wheels.install(_with_lock(tmp_path, monkeypatch), tmp_path / "target", say=interrupted)
    assert eventually(lambda: not lives(int((uv.parent / "pid").read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_uv_ends_with_a_killed_fetch(uv: Path, tmp_path: Path) -> None:
    (uv.parent / "does.py").write_text(_HANGS)
    parent = (
        "import pathlib, sys\nfrom repro import config, wheels\nwheels.find_uv = lambda: pathlib.Path(sys.argv[1])\n"
        "pair = config.load_pairs()['0.25.4-5.3.1']\n"
        "wheels.install(pair, pathlib.Path(sys.argv[2]), say=lambda _: print(flush=True))"
    )
    command = [sys.executable, "-c", parent, str(uv), str(tmp_path / "target")]
    variables = {**os.environ, "PYTHONPATH": str(layout.ROOT / "src")}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE) as fetch:
        assert fetch.stdout is not None
        fetch.stdout.readline()
        fetch.kill()
    assert eventually(lambda: not lives(int((uv.parent / "pid").read_text())))


def test_a_missing_lock_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "WHEEL_LOCKS", tmp_path)
    with pytest.raises(FetchError, match="pair add"):
        wheels.install(parts.pair(), tmp_path / "target")


def test_no_uv_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="uv, which installs the wheels, is not found"):
        wheels.find_uv()


@scripts
def test_the_uv_beside_the_interpreter_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = parts.program(tmp_path / "path" / "uv")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert wheels.find_uv() == on_path
    beside = parts.program(tmp_path / "venv" / "uv")
    assert wheels.find_uv() == beside


def test_the_python_is_the_pairs_own_under_pixi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXI_PROJECT_ROOT", "/checkout")
    assert wheels.python_tag(wheels.target_python(parts.pair())) == "cp314"
    monkeypatch.delenv("PIXI_PROJECT_ROOT")
    assert wheels.target_python(parts.pair()) == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_installed_packages_are_read_without_importing_them(tmp_path: Path) -> None:
    parts.wheels(tmp_path, {"itk-elastix": "0.25.4", "itk": "5.4.7"})
    (tmp_path / "itk.py").write_text("raise SystemExit('imported')")
    found = wheels.installed_packages(tmp_path)
    assert [(one.name, one.version, one.licence) for one in found] == [
        ("itk", "5.4.7", "Apache-2.0"),
        ("itk-elastix", "0.25.4", "Apache-2.0"),
    ]
    assert (tmp_path / found[1].record).is_file()


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_committed_lock_is_of_the_pair_and_names_no_place(pair: Pair) -> None:
    text = wheels.lock_file(pair).read_text(encoding="utf-8")
    assert "://" not in text
    assert "/home" not in text
    locked = wheels.locked_versions(pair)
    assert locked["itk-elastix"] == {pair.itk_elastix}
    itk = {name: versions for name, versions in locked.items() if name.startswith("itk") and name != "itk-elastix"}
    assert len({version for versions in itk.values() for version in versions}) == 1
    assert {
        "itk",
        "itk-core",
        "itk-numerics",
        "itk-io",
        "itk-filtering",
        "itk-registration",
        "itk-segmentation",
    } == set(itk)
    # Every requirement line is followed by at least one hash, and nothing else is in the file.
    for line in text.splitlines():
        assert re.fullmatch(
            r"#.*|[a-z0-9-]+==\S+( ; python_full_version [<>=]+ '[\d.]+')? \\|    --hash=sha256:[0-9a-f]{64}( \\)?",
            line,
        ), line
    assert re.search(r"==[^\n]*\\\n(?!    --hash)", text) is None


@pytest.mark.parametrize(
    ("name", "itk"), [("0.21.0-5.2.0", "5.4.5"), ("0.25.1-5.3.1", "5.4.5"), ("0.25.4-5.3.1", "5.4.7")]
)
def test_each_pair_gets_the_itk_of_its_day(name: str, itk: str) -> None:
    assert wheels.locked_versions(PAIRS[name])["itk"] == {itk}


def _with_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(layout, "WHEEL_LOCKS", tmp_path)
    monkeypatch.delenv("PIXI_PROJECT_ROOT", raising=False)
    pair = parts.pair()
    downloads.write_atomically(wheels.lock_file(pair), parts.lock({"itk-elastix": "0.25.4"}))
    return pair
