import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from repro.cli.main import app
from repro.paths import ROOT
from repro.plan.experiments import load_experiments

PAGES = [ROOT / "README.md", ROOT / "recipe" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(pixi run|py(?:thon3?)? tasks/run\.py|python3? -m repro)((?: +[^\s`|;&]+)*)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def code(text: str) -> Iterator[str]:
    """The code of a page: blocks line by line, and what stands between backticks."""
    fenced = False
    for line in text.replace("\\\n", " ").split("\n"):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.partition(" #")[0]
        else:
            yield from re.findall(r"`([^`]+)`", line)


def problem(words: str) -> str:
    """What is wrong with a command that somebody is told to type; empty: nothing."""
    dull = re.compile(r"\.\.\.|\[.*|.*\]|--locked")
    arguments = [word for word in shlex.split(words) if not dull.fullmatch(word)]
    if arguments[:1] in (["-e"], ["--environment"]):
        return ""  # a program in a pair's environment
    tasks = tomllib.loads((ROOT / "pixi.toml").read_text(encoding="utf-8"))
    own = {*tasks["tasks"], *(task for feature in tasks["feature"].values() for task in feature.get("tasks", {}))}
    command = typer.main.get_command(app)
    if not arguments or arguments[0] in (own | {"clean", "--help", "COMMAND"}) - set(getattr(command, "commands", {})):
        return ""
    while arguments and (below := getattr(command, "commands", {})):
        if arguments[0] not in below:
            return f"there is no command {arguments[0]!r}"
        command = below[arguments.pop(0)]
    named = {value for option, value in itertools.pairwise(arguments) if option == "--experiment"}
    if unknown := named - {*load_experiments(), "NAME"}:
        return f"there is no experiment {unknown}"
    if not arguments:  # it is named, not shown
        return ""
    try:
        # A capital letter may stand for a number.
        command.make_context("shown", [re.sub(r"^[A-Z]$", "1", word) for word in arguments])
    except Exception as error:  # of typer's own click, whose name is private
        return str(error) or repr(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_shown_is_one(page: Path) -> None:
    shown = [
        # Where a sentence goes on after a comma, the command has ended.
        re.split(r"(?<!\.)[.,:;)](?:\s|$)", found[2].strip())[0]
        for line in code(page.read_text(encoding="utf-8"))
        for found in COMMAND.finditer(line)
    ]
    assert [f"{words}: {wrong}" for words in shown if (wrong := problem(words))] == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("bench 0.25.4-5.3.1 --experiment causes --blocks 4", ""),
        ("nothing", "there is no command 'nothing'"),
        ("bench --experiment nope", "there is no experiment"),
        ("bench --round 3", "No such option"),
        ("bench --rounds many", "many"),
        ("pair add 0.25.5 5.3.2 --as-of 2026-12-24", ""),
    ],
)
def test_a_command_that_is_none_is_found(words: str, wrong: str) -> None:
    found = problem(words)
    assert wrong in found
    assert bool(found) is bool(wrong)


def test_the_commands_of_the_table_in_the_readme_exist() -> None:
    rows = re.findall(r"^\| `([a-z][^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [f"{row}: {wrong}" for row in rows if (wrong := problem(row))] == []


def test_every_command_that_a_message_names_exists() -> None:
    named = {
        words.split()[0]
        for file in (ROOT / "src" / "repro").rglob("*.py")
        if file.name != "main.py"  # where commands are declared
        for words in re.findall(r"""\bcommand\(f?["']([a-z][^"'{]*)""", file.read_text(encoding="utf-8"))
    }
    assert {"fetch", "merge"} <= named
    assert [f"{name}: {wrong}" for name in sorted(named) if (wrong := problem(name))] == []


def test_the_workflows_run_commands_that_exist() -> None:
    files = [ROOT / "action.yml", *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    shown = [found[2].strip() for file in files for found in COMMAND.finditer(file.read_text(encoding="utf-8"))]
    filled = [re.sub(r'"?\$\{?\{?[^"]*"?', "", words) for words in shown]
    assert [f"{words}: {wrong}" for words in filled if (wrong := problem(words))] == []
