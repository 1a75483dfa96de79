import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro import text
from repro.errors import ConfigError, StoreError
from repro.measure import store
from repro.model import SessionLine, digest
from repro.results import pack as packing
from repro.results.merge import merge
from repro.results.pack import MANIFEST, pack, read_pack
from support.raw_lines import EXPERIMENTS, MACHINE, PAIRS, change, raw_file, read_lines, write_lines, write_raw

RAW = f"{MACHINE}/posted/{PAIRS[-1]}.jsonl"
TRANSFORM = f"{MACHINE}/transforms/{digest('result')}/TransformParameters.0.txt"
SECRETS = ("nkiaru", "lab-host-7", "/home/nkiaru", "clinic", "Smith_John", "/data/patients")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results as `bench` lays them out, of a user and a host with names."""
    root, home = Path("/home/nkiaru/work/checkout"), Path("/home/nkiaru")
    patterns = tuple(text.private_patterns(root, home, "nkiaru", "lab-host-7.clinic.example"))
    monkeypatch.setattr(text, "_replacements", lambda: patterns)
    folder = write_raw(tmp_path / "results", experiments=("posted", "aa"), inspect=True, transforms=True)
    note = "elastix runs at: lab-host-7.clinic.example\n/home/nkiaru/work/checkout/results/x.txt of /home/nkiaru/mine"
    change(raw_file(folder), lambda one: one.block == 1, note=note, status="failed", wall_s=None)
    (folder / "raw" / MACHINE / "logs").mkdir()
    (folder / "raw" / MACHINE / "logs" / "worker.log").write_text("nkiaru", encoding="utf-8")
    return folder


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_pack_holds_lines_inspections_and_the_transforms_that_they_refer_to(results: Path, tmp_path: Path) -> None:
    machine = results / "raw" / MACHINE
    (machine / "transforms" / "another").mkdir()
    (machine / "transforms" / "another" / "TransformParameters.0.txt").write_text("x", encoding="utf-8")
    packed = contents(pack(results, tmp_path))
    assert {*packed} == {
        *(MANIFEST, RAW, TRANSFORM),
        *(f"{MACHINE}/aa/{PAIRS[-1]}.jsonl", f"{MACHINE}/inspect.jsonl"),
    }
    assert json.loads(packed[MANIFEST])["machine"] == MACHINE


def test_an_experiment_may_have_the_name_of_a_folder_beside_it(tmp_path: Path) -> None:
    experiments = dict.fromkeys(("transforms", "logs"), EXPERIMENTS["posted"])
    folder = write_raw(tmp_path / "results", experiments=experiments, transforms=True)
    for source in (folder, pack(folder, tmp_path)):
        assert {row.experiment for row in merge([source], tmp_path).tables.rows} == {*experiments}


def test_nothing_in_a_pack_says_who_and_where(results: Path, tmp_path: Path) -> None:
    transform = results / "raw" / TRANSFORM
    transform.write_text(
        '(InitialTransformParameterFileName "/data/patients/Smith_John.txt")\n// by /home/nkiaru/mine\n',
        encoding="utf-8",
    )
    packed = contents(pack(results, tmp_path / "x.zip"))
    whole = "\n".join([*packed, *(content.decode() for content in packed.values())])
    assert [secret for secret in SECRETS if secret.lower() in whole.lower()] == []
    # The proof would be empty if nothing had been packed.
    assert "elastix runs at: <host>" in whole
    assert "<checkout>/results/x.txt" in whole
    assert '(InitialTransformParameterFileName "<file>")' in whole


def test_the_transform_before_one_of_the_same_result_keeps_its_name(results: Path, tmp_path: Path) -> None:
    chain = '(InitialTransformParameterFileName "TransformParameters.0.txt")\n(x "NoInitialTransform")\n'
    (results / "raw" / TRANSFORM).with_name("TransformParameters.1.txt").write_text(chain, encoding="utf-8")
    packed = contents(pack(results, tmp_path / "x.zip"))
    assert packed[TRANSFORM.replace(".0.", ".1.")].decode() == chain


def test_a_name_that_cannot_be_taken_out_is_not_packed(results: Path, tmp_path: Path) -> None:
    write_raw(results, experiments={"of nkiaru": ()})
    text = raw_file(results).read_text(encoding="utf-8").replace('"experiment": "posted"', '"experiment": "of nkiaru"')
    raw_file(results, "of nkiaru").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"line 2: 'of nkiaru' names a user.*measure again"):
        pack(results, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_the_same_results_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    assert pack(results, tmp_path / "a.zip").read_bytes() == pack(results, tmp_path / "b.zip").read_bytes()


def test_what_was_packed_merges_as_what_was_measured(results: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "measured", tmp_path / "travelled"
    measured = merge([results], here, tmp_path / "nowhere").tables
    travelled = merge([pack(results, tmp_path)], there, tmp_path / "nowhere").tables
    assert travelled.builds == measured.builds
    for one, other in zip(travelled.rows, measured.rows, strict=True):
        assert (one.key, one.ratio, one.status, one.agreement_px) == (
            *(other.key, other.ratio, other.status, other.agreement_px),
        )
    # Notes quote logs, and are clean now.
    assert {trial.note for trial in travelled.trials} != {trial.note for trial in measured.trials}


def test_lines_that_are_torn_are_left_behind(results: Path, tmp_path: Path) -> None:
    before = contents(pack(results, tmp_path / "a.zip"))[RAW]
    with raw_file(results).open("ab") as stream:
        stream.write(b'{"kind": "meas')
    assert contents(pack(results, tmp_path / "b.zip"))[RAW] == before


def test_many_transforms_are_cut_and_said(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "TRANSFORM_BYTES", 10)
    packed = contents(pack(results, tmp_path / "x.zip"))
    assert json.loads(packed[MANIFEST])["transforms_left_out"] == 1
    assert TRANSFORM not in packed


def test_which_machine_must_be_clear(tmp_path: Path) -> None:
    write_raw(tmp_path, machines=("m1", "m2"), experiments=("posted",), blocks=1)
    with pytest.raises(ConfigError, match="name one of them: m1, m2"):
        pack(tmp_path, tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="no results of the machine 'm3'"):
        pack(tmp_path, tmp_path / "x.zip", "m3")
    assert pack(tmp_path, tmp_path, "m2").name == "m2.zip"
    with pytest.raises(StoreError, match=r"no raw results.*bench"):
        pack(tmp_path / "nothing", tmp_path / "x.zip")


def test_lines_of_another_machine_are_not_packed(tmp_path: Path) -> None:
    write_raw(tmp_path, machines=("m1",), experiments=("posted",), blocks=1)
    (tmp_path / "raw" / "m1").rename(tmp_path / "raw" / "m2")
    with pytest.raises(StoreError, match="line 1: is of the machine m1"):
        pack(tmp_path, tmp_path / "x.zip")


# ---- what comes in


Files = dict[str, bytes]
Tamper = Callable[[Files], None]


def repacked(archive: Path, tamper: Tamper, *, honest: bool = False, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The pack after a change; an honest one has the right checksums."""
    files = contents(archive)
    tamper(files)
    if honest:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST
        }
        files[MANIFEST] = json.dumps(manifest).encode()
    changed = archive.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w", method) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return changed


def edit(files: Files) -> None:
    files[RAW] = files[RAW].replace(b'"wall_s": 2', b'"wall_s": 1', 1)


def drop(files: Files) -> None:
    del files[RAW]


def add(files: Files) -> None:
    files[f"{MACHINE}/more.jsonl"] = files[RAW]


def stray(files: Files) -> None:
    files["m2/x/posted.jsonl"] = files[RAW]


def outside(files: Files) -> None:
    files["../evil"] = b""


def break_manifest(files: Files) -> None:
    files[MANIFEST] = b"[" * 100_000


def no_manifest(files: Files) -> None:
    del files[MANIFEST]


def manifest_with(**values: Any) -> Tamper:
    def tamper(files: Files) -> None:
        files[MANIFEST] = json.dumps({**json.loads(files[MANIFEST]), **values}).encode()

    return tamper


@pytest.mark.parametrize(
    ("tamper", "honest", "message"),
    [
        (edit, False, "was changed after it was packed"),
        (drop, False, "is missing"),
        (add, False, "is not in its manifest"),
        (stray, True, "is not below the machine's folder"),
        (outside, True, "is not below the machine's folder"),
        (outside, False, "is not in its manifest"),
        (manifest_with(schema=1), False, "schema 1, but this checkout reads version 2, schema 2"),
        (manifest_with(version=9), False, "version 9"),
        (manifest_with(format="other"), False, "`pack` did not make it"),
        (manifest_with(machine="../m1"), False, "is no name of a machine"),
        (manifest_with(files={RAW: 3}), False, "is no zip file, or is damaged"),
        (break_manifest, False, "is no zip file, or is damaged"),
        (no_manifest, False, "has no manifest.json"),
    ],
)
def test_what_was_tampered_with_is_refused(
    results: Path, tmp_path: Path, tamper: Tamper, honest: bool, message: str
) -> None:
    changed = repacked(pack(results, tmp_path / "m1.zip"), tamper, honest=honest)
    with pytest.raises(StoreError, match=rf"changed\.zip: .*{message}"):
        read_pack(changed)


def test_a_damaged_pack_or_another_file_is_refused_and_named(results: Path, tmp_path: Path) -> None:
    good = pack(results, tmp_path / "m1.zip").read_bytes()
    for content in (good[:1000], good[:-30], b"", b"no zip", good[:500] + b"\0" * 200 + good[700:]):
        (tmp_path / "damaged.zip").write_bytes(content)
        with pytest.raises(StoreError, match=r"damaged\.zip: .*leave it out"):
            merge([results, tmp_path / "damaged.zip"], tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_a_pack_that_would_unpack_to_far_more_than_itself_is_refused_before_it_is(
    results: Path, tmp_path: Path
) -> None:
    """8 KB that were 8 million empty lines kept merge busy for 44 s."""

    def blow_up(files: Files) -> None:
        files[RAW] += b"\n" * 8_000_000

    changed = repacked(pack(results, tmp_path / "m1.zip"), blow_up, honest=True)
    with pytest.raises(StoreError, match=r"changed\.zip: .* bytes in all cannot be a pack"):
        read_pack(changed)


def test_other_compressions_and_files_of_one_name_are_refused(results: Path, tmp_path: Path) -> None:
    packed = pack(results, tmp_path / "m1.zip")
    with pytest.raises(StoreError, match="compressed in another way"):
        read_pack(repacked(packed, lambda files: None, method=zipfile.ZIP_LZMA))
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(RAW, "{}")
    with pytest.raises(StoreError, match="is in it twice"):
        read_pack(packed)


def test_lines_of_another_machine_in_a_pack_are_left_out(results: Path, tmp_path: Path) -> None:
    session = read_lines(raw_file(results))[0]
    assert isinstance(session, SessionLine)

    def mix(files: Files) -> None:
        files[RAW] = files[RAW].replace(f'"machine": "{MACHINE}"'.encode(), b'"machine": "victim"')

    changed = repacked(pack(results, tmp_path / "m1.zip"), mix, honest=True)
    found = merge([changed], tmp_path / "out", tmp_path / "nowhere")
    assert {row.machine for row in found.tables.rows} == {MACHINE}
    assert {row.experiment for row in found.tables.rows} == {"aa"}
    assert any("of another machine" in one for one in found.broken)


def test_what_measure_keeps_is_packed_whole(tmp_path: Path) -> None:
    machine, session = tmp_path / "raw" / MACHINE, tmp_path / "session"
    its = write_raw(session, experiments=("posted",), blocks=1)
    raw = store.RawFile(store.raw_file(machine, "posted", PAIRS[-1]))
    for line in read_lines(raw_file(its)):
        raw.append(line)
    raw.close()
    registered = tmp_path / "registered"
    registered.mkdir()
    for name in ("TransformParameters.0.txt", "TransformParameters.1.txt", "TransformParameters.0.R0.txt"):
        (registered / name).write_text("(NumberOfParameters 0)\n", encoding="utf-8")
    store.keep_transform(machine, digest("result"), registered)
    packed = contents(pack(tmp_path, tmp_path / "x.zip"))
    assert {name for name in packed if name.endswith(".jsonl")} == {f"{MACHINE}/posted/{raw.file.name}"}
    assert sum(f"transforms/{digest('result')}/TransformParameters." in name for name in packed) == 2


def test_lines_are_written_alike_by_pack_and_by_measure(results: Path, tmp_path: Path) -> None:
    write_lines(raw_file(results, "aa"), read_lines(raw_file(results, "aa")))
    packed = contents(pack(results, tmp_path / "x.zip"))
    assert packed[f"{MACHINE}/aa/{PAIRS[-1]}.jsonl"] == raw_file(results, "aa").read_bytes()
