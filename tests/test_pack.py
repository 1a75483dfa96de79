from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rawdata
from repro.errors import ConfigError, StoreError
from repro.results import pack as packing
from repro.results import packnames
from repro.results.merge import merge
from repro.results.pack import MANIFEST, folders_of, pack, unpack_checked
from repro.results.packnames import Names

PAIR = rawdata.PAIRS[0]
SECRETS = ("nkiaru", "Nico Kiaru", "turing", "node17", "secretlab", "patient", "hunter2", "uni.example")
LOG = r"""elastix runs at: node17.cluster.uni.example
  Linux 6.1 with 24105 MB memory
Traceback (most recent call last):
  File "/home/nkiaru/secretlab/repro/.pairs/x/site-packages/itk/support/base.py", line 7, in f
OSError: C:\Users\Nico Kiaru\secretlab\blobs.tif is not there; ask nkiaru@turing.uni.example
fetched from https://nkiaru:hunter2@mirror.example/elastix.zip by NKIARU on Turing
"""


@pytest.fixture(autouse=True)
def _somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Names(frozenset({"nkiaru"}), frozenset({"turing"}), frozenset({"/home/nkiaru/secretlab/repro"}))
    monkeypatch.setattr(packnames, "names_here", lambda: here)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of one machine with a log, a transform, and secrets wherever there is text."""
    folder = rawdata.write_raw(tmp_path / "results" / "raw") / "m1" / PAIR
    (folder / "logs").mkdir()
    (folder / "logs" / "worker-posted.log").write_text(LOG)
    kept = folder / "transforms" / "0123"
    kept.mkdir(parents=True)
    (kept / "TransformParameters.0.txt").write_text(
        '(InitialTransformParameterFileName "/scratch/secretlab/patient/TransformParameters.0.txt")\n'
        '(Transform "BSplineTransform")\n'
    )
    raw = folder / "posted.jsonl"
    lines = [json.loads(line) for line in raw.read_text().splitlines()]
    lines[0]["command"] = ["bench", "--fixed", "/scratch/secretlab/patient/fixed.tif"]
    lines[0]["provenance"] = {"given": {"/home/nkiaru/bin/elastix": "ab" * 32}}
    lines[0]["experiment"]["conditions"]["posted"]["parameter_files"] = [r"C:\Users\Nico Kiaru\p.txt"]
    lines[3] |= {"status": "failed", "note": LOG, "wall_s": None}
    raw.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "measurement", "note": "nkiaru to')
    return tmp_path / "results"


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_nothing_in_an_archive_says_who_and_where(results: Path, tmp_path: Path) -> None:
    packed = contents(pack(results, None, tmp_path / "m1.zip"))
    whole = "\n".join([*packed, *(content.decode() for content in packed.values())]).lower()
    assert [secret for secret in SECRETS if secret.lower() in whole] == []
    # The proof would be empty if nothing had been packed.
    assert "site-packages/itk/support/base.py" in whole
    assert "24105 mb memory" in whole
    assert {f"m1/{PAIR}/{name}" for name in ("posted.jsonl", "aa.jsonl", "logs/worker-posted.log")} <= packed.keys()
    assert f"m1/{PAIR}/transforms/0123/TransformParameters.0.txt" in packed


def test_a_name_that_cannot_be_taken_out_is_not_packed(results: Path, tmp_path: Path) -> None:
    line = json.loads((results / "raw" / "m1" / PAIR / "posted.jsonl").read_text().splitlines()[0])
    (results / "raw" / "m1" / PAIR / "mine.jsonl").write_text(json.dumps({**line, "session": "nkiaru"}) + "\n")
    with pytest.raises(StoreError, match="'nkiaru' names a user"):
        pack(results, None, tmp_path / "m1.zip")
    assert not (tmp_path / "m1.zip").exists()


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    first, second = pack(results, "m1", tmp_path / "a.zip"), pack(results, "m1", tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_what_was_packed_merges_as_what_was_measured(results: Path, tmp_path: Path) -> None:
    unpacked = unpack_checked(pack(results, None, tmp_path), tmp_path / "in")
    merge([results / "raw"], tmp_path / "measured")
    merge([unpacked], tmp_path / "travelled")
    measured, travelled = ((tmp_path / name / "comparison.csv").read_text() for name in ("measured", "travelled"))
    assert travelled.count("\n") == measured.count("\n") == 4
    # Notes quote logs, and are clean now; every figure is the same.
    for here, there in zip(measured.splitlines(), travelled.splitlines(), strict=True):
        assert here.split(",failed,")[0] == there.split(",failed,")[0]


def test_the_manifest_says_what_the_machine_is(results: Path, tmp_path: Path) -> None:
    manifest = json.loads(contents(pack(results, None, tmp_path / "m1.zip"))[MANIFEST])
    assert manifest["machine"] == "m1"
    assert manifest["fingerprint"]["cpu"] == "Made-up processor of m1"
    assert manifest["transforms_left_out"] == 0


def test_large_logs_and_many_transforms_are_cut(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LOG_BYTES", 100)
    monkeypatch.setattr(packing, "TRANSFORM_BYTES", 10)
    packed = contents(pack(results, None, tmp_path / "m1.zip"))
    assert packed[f"m1/{PAIR}/logs/worker-posted.log"].startswith(b"[the first ")
    assert json.loads(packed[MANIFEST])["transforms_left_out"] == 1
    assert not any("transforms" in name for name in packed)


def test_unpacking_twice_is_once(results: Path, tmp_path: Path) -> None:
    archive = pack(results, None, tmp_path / "m1.zip")
    assert unpack_checked(archive, tmp_path / "in") == unpack_checked(archive, tmp_path / "in")
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_which_machine_must_be_clear(tmp_path: Path) -> None:
    rawdata.write_raw(tmp_path / "raw", machines=("m1", "m2"), rounds=1)
    with pytest.raises(ConfigError, match="name one of them: m1, m2"):
        pack(tmp_path, None, tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="no results of the machine 'm3'"):
        pack(tmp_path, "m3", tmp_path / "x.zip")
    assert pack(tmp_path, "m2", tmp_path).name == "m2.zip"
    with pytest.raises(StoreError, match="run `bench` first"):
        pack(tmp_path / "nothing", None, tmp_path / "x.zip")


def test_lines_of_another_machine_are_not_packed(tmp_path: Path) -> None:
    rawdata.write_raw(tmp_path / "raw", rounds=1)
    (tmp_path / "raw" / "m1").rename(tmp_path / "raw" / "m2")
    with pytest.raises(StoreError, match="holds lines of the machine 'm1'"):
        pack(tmp_path, "m2", tmp_path / "x.zip")


def repacked(archive: Path, change: Callable[[dict[str, bytes]], None], *, honest: bool = False) -> Path:
    """The archive after a change; an honest one has the right checksums."""
    files = contents(archive)
    change(files)
    if honest:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items() if name != MANIFEST
        }
        files[MANIFEST] = json.dumps(manifest).encode()
    changed = archive.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return changed


RAW = f"m1/{PAIR}/posted.jsonl"


def edit(files: dict[str, bytes]) -> None:
    files[RAW] = files[RAW].replace(b'"wall_s": 2', b'"wall_s": 1', 1)


def drop(files: dict[str, bytes]) -> None:
    del files[RAW]


def add(files: dict[str, bytes]) -> None:
    files[f"m1/{PAIR}/more.jsonl"] = files[RAW]


def mix(files: dict[str, bytes]) -> None:
    files[RAW] += files[RAW].splitlines()[1].replace(b'"machine": "m1"', b'"machine": "m2"') + b"\n"


def age(files: dict[str, bytes]) -> None:
    files[RAW] = files[RAW].replace(b'"schema": 1', b'"schema": 2', 1)


def stray(files: dict[str, bytes]) -> None:
    files["m2/x/posted.jsonl"] = files[RAW]


def manifest_with(**values: Any) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        files[MANIFEST] = json.dumps({**json.loads(files[MANIFEST]), **values}).encode()

    return change


def break_manifest(files: dict[str, bytes]) -> None:
    files[MANIFEST] = b"[]"


@pytest.mark.parametrize(
    ("change", "honest", "message"),
    [
        (edit, False, "was changed after it was packed"),
        (drop, False, "is missing"),
        (add, False, "is not in its manifest"),
        (mix, True, "is of machine 'm2', schema 1, not of 'm1', schema 1: mixed"),
        (age, True, "schema 2, not of 'm1', schema 1"),
        (stray, True, "does not belong there"),
        (manifest_with(schema=2), False, "schema 2, but this checkout reads version 1, schema 1"),
        (manifest_with(version=9), False, "version 9"),
        (manifest_with(format="other"), False, "is no archive of"),
        (manifest_with(machine="../m1"), False, "is no archive of"),
        (manifest_with(files={RAW: 3}), False, "is not in its manifest|was changed"),
        (break_manifest, False, "has no manifest.json that can be read"),
    ],
)
def test_what_was_tampered_with_is_refused(
    results: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], honest: bool, message: str
) -> None:
    changed = repacked(pack(results, None, tmp_path / "m1.zip"), change, honest=honest)
    with pytest.raises(StoreError, match=message):
        unpack_checked(changed, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_a_merge_keeps_what_it_can(results: Path, tmp_path: Path) -> None:
    good = pack(results, None, tmp_path / "m1.zip")
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(good.read_bytes()[:1000])
    outside = repacked(good, lambda files: files.update({"../evil": b""}))
    folders, refused = folders_of([good, results, damaged, outside], tmp_path / "in")
    assert folders[1] == results
    assert len(folders) == len(refused) == 2
    assert all("refused" in reason and "--source" not in reason for reason in refused)
