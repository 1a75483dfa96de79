"""An elastix executable out of Debian's packages: only what it loads, nothing installed, without being root.

Of the packages that apt would install only those are downloaded that own a library which elastix
loads, and of these only the libraries are kept: for 5.3.1, 56 packages of 44 MB in place of 322 of
339 MB, and a folder of 110 MB in place of 1.8 GB (measured in November 2026). The executable is started
through the dynamic loader of the same packages, so it runs on releases of Debian older than its own.

With trixie's 5.2.0 the loader says on stderr that a symbol of itk::TransformBaseTemplate "has
different size": the package was built with ITK 5.4.0, and trixie's ITK 5.4.3 has four more virtual
functions in that class. Registrations do not go through them: with 2 threads the posted one gives the
same coefficients, to the last digit, as 5.3.1. Transforms that it writes in ITK's own format
(ITKTransformOutputFileNameExtension) are wrong, all zeros; nothing here asks for these.

apt gets a root of its own: its own list of packages, an empty list of installed ones, the mirror that the
machine's apt uses anyway, and Debian's keyring, with which apt verifies what it downloads. No file of the
system is written and no hook of the machine's apt runs: of its settings only those about the network are
carried over.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from repro.builds import downloads, staging
from repro.builds.downloads import UnreachableError
from repro.builds.executables import Executable
from repro.errors import FetchError
from repro.files import sha256, write_text
from repro.system.environment import child_environment
from repro.system.processes import ending_with_us

PACKAGE = "elastix"
LARGE_BYTES = 16 << 20
"""A package of this size waits until no smaller one can help: VTK, which ITK's package depends on
and elastix does not load, is more than all the others together."""
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
RETRIES = 2
"""Of a file whose download breaks off or stalls, by apt itself."""
ATTEMPTS, PAUSE_S = 3, 1.0
"""Of a server that is busy, which apt itself does not ask again."""
_TIMEOUT_S = 600
_CARRIED = re.compile(r"Acquire::(https?::[^:].*|ForceIPv[46]|Check-Valid-Until|Check-Date) \"[^\"]*\";")
_BUSY = re.compile(r"  (?:5\d\d|429)  ")
"""The status in apt's words: "Failed to fetch URL  503  Service Unavailable"."""
_MISMATCH = re.compile(
    r"Failed to fetch (\S+)\s+Hash Sum mismatch\s+Hashes of expected file:.*?SHA256:([0-9a-f]{64})"
    r".*?Hashes of received file:.*?SHA256:([0-9a-f]{64})",
    re.DOTALL,
)
_ANOTHER_MIRROR = "try again later, or let this machine's apt use another mirror"
_NAME = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")


def unpack(
    version: str,
    suites: Iterable[str],
    folder: Path,
    *,
    cache: Path,
    offline: bool,
    say: Callable[[str], None],
) -> Executable:
    """Put elastix of this version, the libraries it loads and its licence into the folder.

    The suites are tried in order; the first whose package is that version is used. The packages
    stay in the cache for the next pair. Raises UnreachableError where no suite has it or no mirror
    answers, with a reason for each suite.
    """
    reasons = []
    for suite in suites:
        try:
            return _from_suite(suite, version, folder, cache / suite, offline, say)
        except UnreachableError as error:
            reasons.append(f"{suite}: {error}")
    raise UnreachableError("; ".join(reasons) or f"no Debian suite is known to have {version}")


def upstream_version(version: str) -> str:
    """The release that a Debian version stands for: "5.3.1" of "1:5.3.1+dfsg-1+b2"."""
    without_epoch = version.partition(":")[2] or version
    return (without_epoch.rpartition("-")[0] or without_epoch).partition("+")[0]


def _from_suite(
    suite: str, version: str, folder: Path, root: Path, offline: bool, say: Callable[[str], None]
) -> Executable:
    """Follow the dependencies only of packages whose libraries are loaded, until none is missing."""
    apt = Apt.prepare(suite, root)
    if not offline:
        apt.update()
    found = apt.records([PACKAGE]).get(PACKAGE)
    if found is None:
        raise UnreachableError("it has no package elastix, or its index was never read and --offline is on")
    if upstream_version(found.version) != version:
        raise UnreachableError(f"its elastix is {found.version}, not {version}")
    records = apt.closure(PACKAGE)
    work = folder.with_name(folder.name + ".unpacking")
    stage = _Stage(work)
    used: dict[str, Record] = {}
    wave = {PACKAGE}
    while wave:
        files = apt.packages([records[name] for name in sorted(wave)], offline)
        for name, file in zip(sorted(wave), files, strict=True):
            stage.add(name, file)
            used[name] = records[name]
        missing = stage.missing()
        if not missing:
            break
        needs = {need for name in stage.owners() & used.keys() for need in records[name].needs}
        wave = {name for name, one in records.items() if needs & {name, *one.provides}} - used.keys()
        wave = {name for name in wave if records[name].bytes < LARGE_BYTES} or wave or records.keys() - used.keys()
    if missing:
        raise FetchError(f"Debian {suite}: no package of elastix has {', '.join(sorted(missing)[:5])}; "
                         "give another executable with --source PATH")  # fmt: skip
    say(f"Debian {suite}: unpacked elastix {found.version} and {len(used) - 1} packages that it loads")
    kept, loader = stage.keep(folder), stage.loader.name
    shutil.rmtree(work)
    apt.tidy(one.file for one in used.values())
    lib = folder / "lib"
    command = (str(lib / loader), "--library-path", str(lib), str(folder / PACKAGE))
    debs = {used[name].file: used[name].sha256 for name in sorted(kept)}
    return Executable(f"debian {suite}", command, {}, {"package_version": found.version, "pinned": True, "debs": debs})


class _Stage:
    """Packages unpacked one by one into one flat folder of libraries."""

    def __init__(self, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        self.work, self.lib = work.resolve(), work.resolve() / "lib"
        self.lib.mkdir(parents=True)
        self.owner: dict[str, str] = {}
        """File name in lib -> package."""

    @property
    def loader(self) -> Path:
        """The dynamic loader, which libc6 brings; a path that is not there before."""
        return next(self.lib.glob("ld-linux*.so.*"), self.lib / "ld-linux.so")

    @property
    def programs(self) -> list[Path]:
        """elastix, and transformix where the package has it."""
        found = [self.work / PACKAGE / "usr/bin" / name for name in (PACKAGE, "transformix")]
        return [one for one in found if one == found[0] or one.is_file()]

    def add(self, package: str, deb: Path) -> None:
        """Unpack the package and move its libraries over. Links among them point into the same folder there.

        Files come before links: a link to a library in another folder has the library's own name, as that of the loader
        in lib64 has, and must not take its place.
        """
        tree = self.work / package
        _run(["dpkg-deb", "--extract", str(deb), str(tree)])
        found = [Path(folder) / name for folder, _, names in os.walk(tree) for name in names if ".so" in name]
        for file in sorted(found, key=lambda one: (one.is_symlink(), one)):
            place = self.lib / file.name
            if file.is_symlink():
                target = file.readlink().name
                if target != file.name and not os.path.lexists(place):
                    place.symlink_to(target)
                    self.owner[file.name] = package
            elif not place.is_file() or place.is_symlink():
                file.replace(place)
                self.owner[file.name] = package
        if package != PACKAGE:
            shutil.rmtree(tree)

    def loaded(self) -> dict[str, Path | None]:
        """What the programs load: name -> file in the folder, or None where it is not there.

        The machine's own libraries do not count: the loader would fall back to them.
        """
        if not self.loader.is_file():
            return {"the dynamic loader": None}
        # What ldd does: unlike --list, this goes on where a library is missing.
        command = [str(self.loader), "--inhibit-cache", "--library-path", str(self.lib)]
        shown = "".join(_run([*command, str(program)], {"LD_TRACE_LOADED_OBJECTS": "1"}) for program in self.programs)
        listed = re.findall(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", shown, re.MULTILINE)
        files = {name: self.lib / Path(path).name for name, path in listed}
        return {
            name: file if file.is_file() and str(file) == dict(listed)[name] else None for name, file in files.items()
        }

    def missing(self) -> set[str]:
        """Names of the libraries that are not there yet."""
        return {name for name, file in self.loaded().items() if file is None}

    def owners(self) -> set[str]:
        """The packages that something loaded comes from."""
        files = [self.loader, *filter(None, self.loaded().values())]
        return {PACKAGE} | {self.owner[file.name] for file in files if file.name in self.owner}

    def keep(self, folder: Path) -> set[str]:
        """Copy what is loaded, the programs and their licence into the folder; the owners."""
        owners = self.owners()
        (folder / "lib").mkdir(parents=True)
        for file in {self.loader, *filter(None, self.loaded().values())}:
            shutil.copy2(file.resolve(), folder / "lib" / file.name)
        for program in self.programs:
            shutil.copy2(program, folder / program.name)
        shutil.copy2(self.work / PACKAGE / "usr/share/doc" / PACKAGE / "copyright", folder / "copyright")
        return owners


def _run(command: list[str], environment: Mapping[str, str] = {}) -> str:
    done = subprocess.run(
        command,
        check=False,
        env=child_environment(environment),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        staging.raise_if_full(done.stderr, Path(command[-1]))
        raise FetchError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


@dataclass(frozen=True)
class Record:
    """A package in apt's index."""

    name: str
    version: str
    file: str
    """Name of the package's file, as apt gives it."""
    sha256: str
    bytes: int
    needs: frozenset[str]
    """Names in Depends and Pre-Depends, alternatives included."""
    provides: frozenset[str]


@dataclass(frozen=True)
class Apt:
    """apt with a private root."""

    suite: str
    root: Path
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def prepare(cls, suite: str, root: Path) -> Apt:
        """Write the private root. Raises UnreachableError where the machine has no apt of Debian."""
        missing = [tool for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb") if not shutil.which(tool)]
        if missing:
            raise UnreachableError(f"this machine has no {missing[0]}, so it is no Debian")
        keyring = next((one for one in KEYRINGS if Path(one).is_file()), None)
        if keyring is None:
            raise UnreachableError("this machine has no keyring of Debian's archive (debian-archive-keyring)")
        found = [uri for uri in _machine_uris() if _is_debian(uri)]
        if not found:
            raise UnreachableError("the apt of this machine uses no mirror of Debian")
        for part in ("state/lists/partial", "cache/archives/partial", "packages", "tmp"):
            (root / part).mkdir(parents=True, exist_ok=True)
        write_text(root / "status", "")
        write_text(root / "sources.list", f"deb [signed-by={keyring}] {found[0]} {suite} main\n")
        write_text(root / "apt.conf", _configuration(root))
        # Its temporary files too (keys, parts of indexes) stay below the root.
        ours = {"APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C.UTF-8", "TMPDIR": str(root / "tmp")}
        return cls(suite, root, {**os.environ, **downloads.for_apt(), **ours})

    def update(self) -> None:
        """Read the index of the suite from the mirror."""
        self._network("apt-get", "-qq", "update")

    def closure(self, package: str) -> dict[str, Record]:
        """Every package that apt would install for this one, by name."""
        plan = self.run("apt-get", "-qq", "--yes", "--print-uris", "install", package)
        return self.records([package, *re.findall(r"^'[^']*' ([a-z0-9][a-z0-9+.-]*)_", plan, re.MULTILINE)])

    def records(self, names: Iterable[str]) -> dict[str, Record]:
        """What the index says of these packages, by name; unknown ones are left out."""
        shown = self.run("apt-cache", "--no-all-versions", "show", *dict.fromkeys(names), allowed=(0, 100))
        records = map(_record, shown.split("\n\n"))
        return {record.name: record for record in records if record}

    def packages(self, records: Iterable[Record], offline: bool) -> list[Path]:
        """The packages' files in the cache, downloaded where they are not there, all verified."""
        folder = self.root / "packages"
        wanted = {folder / record.file: record for record in records}
        absent = [record for file, record in wanted.items() if not _is_whole(file, record)]
        if absent and offline:
            raise UnreachableError(
                f"{len(absent)} packages are not in the cache ({', '.join(one.file for one in absent[:3])}...), and "
                "--offline forbids to download them; run fetch once with network"
            )
        try:
            if absent:
                names = [f"{one.name}={one.version}" for one in absent]
                for record in absent:  # apt takes a file of the right size for the right one
                    (folder / record.file).unlink(missing_ok=True)
                self._network("apt-get", "-qq", "download", *names, folder=folder)
            for file, record in wanted.items():
                if not _is_whole(file, record):
                    found = sha256(file) if file.is_file() else "no file"
                    raise FetchError(
                        f"{file.name}: sha256 expected {record.sha256}, found {found}: not used; {_ANOTHER_MIRROR}"
                    )
        finally:
            # What apt leaves of a file that broke off, or that it refused.
            for file in [*(folder / record.file for record in absent), *folder.glob("*.FAILED")]:
                if file.is_file() and (file not in wanted or not _is_whole(file, wanted[file])):
                    file.unlink()
        return list(wanted)

    def tidy(self, keep: Iterable[str]) -> None:
        """Delete apt's own cache, which it makes in a second, and the packages that are not to be kept."""
        shutil.rmtree(self.root / "cache", ignore_errors=True)
        kept = set(keep)
        for file in (self.root / "packages").iterdir():
            if file.name not in kept:
                file.unlink()

    def _network(self, *command: str, folder: Path | None = None) -> None:
        """Run what talks to the mirror; apt itself tries stalls again, but no server that is busy."""
        for attempt in range(1, ATTEMPTS):
            try:
                self.run(*command, folder=folder)
                return
            except UnreachableError as error:
                if not _BUSY.search(str(error)):
                    raise
                time.sleep(PAUSE_S * attempt)
        self.run(*command, folder=folder)

    def run(self, *command: str, folder: Path | None = None, allowed: tuple[int, ...] = (0,)) -> str:
        """What the program prints. Raises UnreachableError with its last words where it fails."""
        try:
            done = subprocess.run(
                command,
                check=False,
                cwd=folder or self.root,
                env=dict(self.environment),
                preexec_fn=ending_with_us(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{command[0]} did not finish within {_TIMEOUT_S} s; {_ANOTHER_MIRROR}") from error
        if done.returncode not in allowed:
            staging.raise_if_full(done.stderr, self.root)
            if found := _MISMATCH.search(done.stderr):
                raise FetchError(
                    f"{found[1]}: sha256 expected {found[2]}, found {found[3]}: not used; {_ANOTHER_MIRROR}"
                )
            raise UnreachableError(f"{command[0]} says: {_last_words(done.stderr)}; {_ANOTHER_MIRROR}")
        return done.stdout


def _machine_uris() -> list[str]:
    """What this machine's own apt reads from, however that is written down."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
    return list(dict.fromkeys(shown.split()))


def _is_debian(uri: str) -> bool:
    """Whether it is the main archive: .../debian, or a list of mirrors named debian.list."""
    return not uri.startswith("cdrom:") and bool({"debian", "debian.list"} & set(uri.rstrip("/").split("/")))


def _configuration(root: Path) -> str:
    """apt's settings for the private root; of the machine's own only the ways to the downloads."""
    shown = subprocess.run(
        ["apt-config", "dump", "Acquire"], check=False, capture_output=True, text=True, timeout=60
    ).stdout
    carried = [line for line in shown.splitlines() if _CARRIED.fullmatch(line)]
    bundle = downloads.ca_bundle()
    settings = {
        "Dir": f"{root}/",
        "Dir::Etc::main": "-",
        "Dir::Etc::parts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::Etc::sourcelist": f"{root}/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::netrc": "/etc/apt/auth.conf",
        "Dir::Etc::netrcparts": "/etc/apt/auth.conf.d/",
        "Dir::State": f"{root}/state/",
        "Dir::State::status": f"{root}/status",
        "Dir::Cache": f"{root}/cache/",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "true",
        "Acquire::Retries": str(RETRIES),
        "Acquire::http::Timeout": f"{downloads.CONNECT_S:g}",
        "Acquire::https::Timeout": f"{downloads.CONNECT_S:g}",
        **({"Acquire::https::CAInfo": bundle} if bundle else {}),
        "APT::Get::AllowUnauthenticated": "false",
        "APT::Install-Recommends": "false",
        # A failed index is an error, not a warning; the cache folder is nobody else's, and the user
        # that apt would drop to may not write there.
        "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    return "".join(f"{line}\n" for line in carried) + "".join(f'{key} "{value}";\n' for key, value in settings.items())


def _record(text: str) -> Record | None:
    fields = dict(re.findall(r"^([\w-]+): (.*)$", text, re.MULTILINE))
    if not {"Package", "Version", "Architecture", "SHA256", "Size"} <= fields.keys():
        return None
    needs = _NAME.findall(fields.get("Depends", "")) + _NAME.findall(fields.get("Pre-Depends", ""))
    file = f"{fields['Package']}_{fields['Version'].replace(':', '%3a')}_{fields['Architecture']}.deb"
    if not re.fullmatch(r"[0-9]{1,15}", fields["Size"]) or "/" in file:
        return None
    provides = _NAME.findall(fields.get("Provides", ""))
    return Record(
        fields["Package"],
        fields["Version"],
        file,
        fields["SHA256"],
        int(fields["Size"]),
        frozenset(needs),
        frozenset(provides),
    )


def _last_words(said: str) -> str:
    """The first errors, or where apt names none the last lines."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " ".join([line for line in lines if line.startswith("E:")][:2] or lines[-2:])


def _is_whole(file: Path, record: Record) -> bool:
    return file.is_file() and sha256(file) == record.sha256
