"""What differs between two conditions, in words, and the line of Python that makes the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repro.wording import text

Condition = Mapping[str, Any]
"""A condition as a session line keeps it: `dataclasses.asdict` of a model.Condition."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two conditions."""

    what: str
    """What the second condition has: "SetNumberOfThreads"."""
    instead_of: str
    """What the first has in its place; empty where the parameter file decides."""
    python: str = ""
    """How a user of the API sets it; empty where it is no setting of the API, or changes the registration."""

    @property
    def words(self) -> str:
        """The whole difference in words."""
        return f"{self.what} instead of {self.instead_of}" if self.instead_of else self.what


_ASKED = {
    "parameter": "NumberOfThreads in the parameter map",
    "method": "SetNumberOfThreads",
    "option": "-threads",
    "none": "no threads asked for",
}


def changes(before: Condition, after: Condition) -> tuple[Change, ...]:
    """Every difference from one condition to the other; the names of the conditions are none."""
    return tuple(_changes(before, after))


def _changes(before: Condition, after: Condition) -> Iterator[Change]:
    yield from _threads("api", before, after)
    yield from _threader("api", before, after)
    yield from _overrides(before, after)
    yield from _plain(before, after)
    yield from _threads("cli", before, after)
    yield from _threader("cli", before, after)


def _threads(path: str, before: Condition, after: Condition) -> Iterator[Change]:
    old, new = _settings(before, path), _settings(after, path)
    if old.get("threads_by") != new.get("threads_by"):
        how = str(new.get("threads_by"))
        python = "registration.SetNumberOfThreads(n)" if path == "api" and how == "method" else ""
        yield Change(_asked(path, how), _asked(path, str(old.get("threads_by"))), python)
    elif old.get("threads") != new.get("threads"):
        number = new.get("threads")
        python = f"registration.SetNumberOfThreads({number or 'n'})" if new.get("threads_by") == "method" else ""
        whose = "the API" if path == "api" else "the executable"
        yield Change(f"{_number(number)} for {whose}", _number(old.get("threads")), python if path == "api" else "")


def _asked(path: str, how: str) -> str:
    return ("" if path == "api" else "the executable with ") + _ASKED.get(how, how)


def _number(threads: object) -> str:
    return {None: "no threads asked for", 0: "as many threads as physical cores"}.get(
        threads if isinstance(threads, int) else None, f"{threads} threads"
    )


def _threader(path: str, before: Condition, after: Condition) -> Iterator[Change]:
    old, new = (_settings(condition, path).get("threader") for condition in (before, after))
    if old != new:
        python = f'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "{text(new)}"  # before importing itk'
        whose = "" if path == "api" else " for the executable"
        names = (f"the {text(name)} threader" if name else "the default threader" for name in (new, old))
        what, instead = names
        yield Change(what + whose, instead, python if path == "api" and new else "")


def _overrides(before: Condition, after: Condition) -> Iterator[Change]:
    old, new = ({str(key): str(value) for key, value in one.get("overrides") or ()} for one in (before, after))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield Change(
                f"{text(key)} {text(new[key])}" if key in new else f"{text(key)} of the parameter file",
                text(old[key]) if key in old else "",
            )


def _plain(before: Condition, after: Condition) -> Iterator[Change]:
    for key, words in {
        "parameter_files": "parameter file {}",
        "images": "images {}",
        "machine_threads": "a machine of {} threads",
        "jobs": "{} jobs at once",
        "strategy": "strategy {}",
    }.items():
        old, new = before.get(key), after.get(key)
        if old != new:
            said = (" + ".join(map(str, value)) if isinstance(value, list | tuple) else value for value in (new, old))
            what, instead = (words.format(text(value)) if value else "its own value" for value in said)
            yield Change(what, instead)


def _settings(condition: Condition, path: str) -> Mapping[str, Any]:
    settings = condition.get(path)
    return settings if isinstance(settings, dict) else {}
