"""The parsers that tasks/fuzz.py feeds, each with real input to damage and hostile pieces to put in."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fuzzarchives
import parts
import rawdata
from fuzzinputs import BYTES, TEXTS, Inputs, damaged, odd_json, reworded, texts
from repro import layout
from repro.builds import apt, downloads, fetch, installed, verify, wheels
from repro.builds.config import load_pairs, load_releases
from repro.elastix import elastixlog, imagefiles, parameters, transforms
from repro.errors import ReproError, UnavailableError
from repro.measure.kept import Kept
from repro.plan import images, plantable
from repro.plan.experiments import load_experiments
from repro.report import reported
from repro.results import merge
from repro.system import current_platform

_NEXT_FILE = b"\n(((next file)))\n"
"""Between the files of a chain of transforms, which are one input."""


@dataclass(frozen=True)
class Target:
    """A parser, and what to feed it with."""

    name: str
    inputs: Inputs
    parse: Callable[[bytes, Path], object]
    """Parses the bytes, which it may write into the folder; raises ReproError for what cannot be used."""
    folder: Path


def targets(folder: Path) -> tuple[Target, ...]:
    """Every parser of ours. The folder is for what they need besides."""
    data = layout.ROOT / "tests" / "data"
    logs = _read(sorted((data / "logs").glob("*.log")))
    chains = [
        _NEXT_FILE.join(_read(sorted(chain.glob("TransformParameters.*.txt"))))
        for chain in sorted((data / "transforms").iterdir())
    ]
    lines = _raw_lines(folder)
    made: dict[str, tuple[Inputs, Callable[[bytes, Path], object]]] = {
        "pairs.toml": (texts(_read([layout.PAIRS_TOML])), _file("pairs.toml", _pairs)),
        "experiments.toml": (texts(_read([layout.EXPERIMENTS_TOML])), _file("e.toml", load_experiments)),
        "images.toml": (texts(_read([layout.IMAGES_TOML])), _file("images.toml", _images)),
        "elastix.log": (texts(logs), lambda content, _: elastixlog.parse(content.decode("utf-8", "replace"))),
        "parameter file": (texts(_read(sorted(layout.PARAMETER_FILES.glob("*.txt")))), _parameters),
        "transforms": (texts(chains), _transforms),
        "raw lines": (odd_json(lines) | damaged(lines) | reworded(lines), _merge),
        "reported.csv": (texts(_read([layout.DATA / "reported.csv"])), _file("r.csv", reported.read)),
        "packed archive": (fuzzarchives.packed_archives(folder), fuzzarchives.unpack_checked),
        "release archive": (fuzzarchives.release_archives(), fuzzarchives.unpack),
        "image header": (damaged(_images_seen(), (*BYTES, *TEXTS)) | reworded(_images_seen()[-2:]), _dimension),
        "installed.json": (_installed(folder), lambda content, _: _load(content, folder)),
        "trusted.json": (_trust(), _file("trusted.json", _trusted)),
        "wheel lock": (texts(_read(sorted(layout.WHEEL_LOCKS.glob("*.txt")))), _lock),
        "apt": (texts([_APT]), _apt),
    }
    return tuple(Target(name, inputs, parse, folder) for name, (inputs, parse) in made.items())


def _read(files: Sequence[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def parse(content: bytes, folder: Path) -> object:
        file = folder / name
        file.write_bytes(content)
        return read(file)

    return parse


def _pairs(file: Path) -> object:
    load_pairs(file)
    return load_releases(file)


def _images(file: Path) -> object:
    if not (file.parent / "synthetic").exists():
        shutil.copytree(layout.DATA / "synthetic", file.parent / "synthetic")
    return images.image_set("posted", offline=True, file=file, cache=file.parent / "none")


def _parameters(content: bytes, _: Path) -> None:
    read = parameters.parse(content)
    assert parameters.parse(read.text().encode()).values == read.values


def _transforms(content: bytes, folder: Path) -> object:
    files = []
    for number, part in enumerate(content.split(_NEXT_FILE)[:4]):
        files.append(folder / f"TransformParameters.{number}.txt")
        files[-1].write_bytes(part)
    chain = transforms.read_chain(files)
    transforms.result_digest(files)
    return chain.displacement(chain.grid.points()[:, :1000])


def _raw_lines(folder: Path) -> list[bytes]:
    """Made-up ones of few rounds, and the first of each kind of experiment that was really run."""
    made = rawdata.write_raw(folder / "raw-seed", rounds=1).rglob("*.jsonl")
    run = (layout.RESULTS / "reference" / "raw").glob(f"*/{rawdata.PAIRS[0]}/*.jsonl")
    heads = (b"".join(content.splitlines(keepends=True)[:5]) for content in _read(sorted(run)))
    return [*_read(sorted(made)), *heads]


def _merge(content: bytes, folder: Path) -> object:
    file = folder / "raw" / "m1" / rawdata.PAIRS[0] / "posted.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    plantable.plan_all(list(load_pairs().values())[:1], [load_experiments()["posted"]], 3, 1, (1, 1), folder / "raw")
    try:
        return merge.merge([folder / "raw"], folder)
    finally:
        Kept(file, {}, dict).close()


def _images_seen() -> list[bytes]:
    pages = struct.pack("<2sHIHIHI", b"II", 42, 8, 0, 14, 0, 0)
    big_pages = struct.pack(">2sHHHQQQQQ", b"MM", 43, 8, 0, 16, 0, 32, 0, 0)
    nifti = (348).to_bytes(4, "little") + b"\0" * 36 + b"\3\0" + b"\0" * 310
    return [
        *((layout.DATA / "synthetic" / "fixed.tif").read_bytes(), pages, big_pages),
        *(nifti, gzip.compress(nifti, mtime=0)),
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\n\n",
        b"ObjectType = Image\nNDims = 2\nDimSize = 4 4\nElementDataFile = LOCAL\n",
    ]


def _dimension(content: bytes, folder: Path) -> None:
    """By every reader: the ending of the name decides which one it is. The error of the last, where all refuse."""
    errors = []
    names = ("i.tif", "i.nii.gz", "i.nii", "i.mha", "i.nrrd")
    for name in names:
        (folder / name).write_bytes(content)
        try:
            imagefiles.dimension(folder / name)
        except ReproError as error:
            errors.append(error)
    if len(errors) == len(names):
        raise errors[-1]


def _installed(folder: Path) -> Inputs:
    """installed.json and provenance.json as fetch writes them, in one JSON line."""
    pair = parts.pair()
    here = folder / "pairs" / pair.name
    parts.wheels(here / "site-packages", {"itk-elastix": "0.25.4"})
    parts.program(here / "elastix" / "elastix")
    lock = folder / "locks" / f"{pair.name}.txt"
    lock.parent.mkdir()
    lock.write_text(parts.lock({"itk-elastix": "0.25.4"}))
    record = "itk_elastix-0.25.4.dist-info/RECORD"
    state = {
        **{"format": installed.FORMAT, "platform": current_platform(), "elastix": pair.elastix, "lock": "l"},
        **{"python_tag": wheels.python_tag(wheels.target_python(pair)), "wheels_sha256": downloads.sha256_of(lock)},
        **{"command": ["{pair}/elastix/elastix"], "environment": {"LD_LIBRARY_PATH": "{pair}/lib"}},
        **{"cli_source": "release", "files": {"elastix": "00"}, "records": {record: "00"}},
        "provenance": {"parts": {"elastix": {"pinned": False, "debs": {"a.deb": "00"}}, "wheels": {}}},
    }
    return odd_json([json.dumps(state).encode()]) | damaged([json.dumps(state).encode()])


def _load(content: bytes, folder: Path) -> None:
    pair, here = parts.pair(), folder / "pairs" / parts.pair().name
    known, layout.WHEEL_LOCKS = layout.WHEEL_LOCKS, folder / "locks"
    try:
        for name in ("installed.json", "provenance.json"):
            (here / name).write_bytes(content)
        verify.everything([pair], folder / "pairs", folder / "cache")
        fetch._is_pinned(installed.load(pair, folder / "pairs"))
    except UnavailableError:
        raise
    finally:
        layout.WHEEL_LOCKS = known


def _trust() -> Inputs:
    known = [json.dumps({"a.zip": "00" * 32, "b.zip": "11" * 32}).encode()]
    return odd_json(known) | texts(known)


def _trusted(file: Path) -> object:
    return downloads.trusted("a.zip", file.parent)


def _lock(content: bytes, folder: Path) -> object:
    file = folder / "lock.txt"
    file.write_bytes(content)
    return wheels.versions_in(file)


_APT = (
    b"Package: elastix\nArchitecture: amd64\nVersion: 1:5.3.1-1\nDepends: libc6 (>= 2.38), a | b\nFilename: e.deb\n"
    b"Size: 10868968\nSHA256: ab\n\nTypes: deb\nURIs: http://m.example/debian\nSuites: sid\n\n"
    b"deb [arch=amd64] http://m.example/debian bookworm main\n"
)


def _apt(content: bytes, _: Path) -> None:
    text = content.decode("utf-8", "replace")
    for name in ("a.list", "a.sources"):
        apt.mirrors({name: text})
    for part in text.split("\n\n"):
        apt._record(part)
