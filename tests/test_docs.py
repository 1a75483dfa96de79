"""What the documentation shows exists: links, commands, experiments, messages with their cures."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import taskfile
from lockrules import read_manifest
from repro.cli.cli import app
from repro.layout import ROOT
from repro.plan.experiments import load_experiments

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SOURCES = sorted((ROOT / "src" / "repro").rglob("*.py"))
TASKS = taskfile.read_environments(read_manifest(ROOT / "pixi.toml"))["default"].tasks
COMMAND = re.compile(r"(pixi run|python3? tasks/run\.py|python3? -m repro)((?: +[^\s`|;&]+)*)")
PLACEHOLDER = "\N{HORIZONTAL ELLIPSIS}"
GAP = "..."
"""What stands in the documentation for a part of a message that is different each time."""
BUILTIN = {"ValueError", "TypeError", "RuntimeError", "OSError", "KeyError", "AssertionError", "NotImplementedError"}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# Links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        known = target.exists() and (not anchor or anchor in anchors(target))
        broken += [] if known else [link]
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](page.md#one-head) [b](#one-head) [c](nowhere.md) [d](page.md#two) [e](https://f)")
    assert broken_links(page) == ["nowhere.md", "page.md#two"]


def test_the_readme_links_every_page_of_the_documentation() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []


def test_the_house_says_where_every_module_lives() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = page.partition("## What lives where")[2].partition("\n## ")[0]
    named = [word for cell in re.findall(r"^\| (.*?) \|", rooms, re.MULTILINE) for word in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(file.stem for file in SOURCES if not file.stem.startswith("__"))


# Commands


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


def commands(text: str) -> Iterator[tuple[str, str]]:
    """What runs it, and its words; what a shell or a workflow would fill in is filled in."""
    filled = re.sub(r"\$\{\{.*?\}\}|\$\w+", "1", text).replace('"1"', "1/4")
    for found in COMMAND.finditer(filled):
        # Where a sentence goes on after a comma, the command has ended.
        yield found[1], re.split(r"(?<!\.)[.,:;)](?:\s|$)", found[2].strip())[0]


def problem(runner: str, words: str) -> str:
    """What is wrong with a command that somebody is told to type; empty: nothing."""
    arguments = [word for word in shlex.split(words) if not re.fullmatch(r"\.\.\.|\[.*|.*\]", word)]
    if runner == "pixi run":
        arguments = [word for word in arguments if word != "--locked"]
        arguments = arguments[2:] if arguments[:1] == ["-e"] else arguments
    if not arguments or arguments[0] == PLACEHOLDER:
        return ""
    if not runner.endswith("-m repro"):
        if arguments[0] in ("clean", "--help") and "run.py" in runner:
            return ""
        if arguments[0] not in TASKS:
            return f"there is no task {arguments[0]!r}"
        task = TASKS[arguments[0]]
        command = taskfile.split(task.command)
        if task.slots:
            command = ["python", "-m", "repro", "bench-all"]
        if command[1:3] != ["-m", "repro"]:
            return ""
        arguments = [*command[3:], *arguments[1:]]
    return _usage(arguments)


def _usage(arguments: list[str]) -> str:
    command = typer.main.get_command(app)
    while arguments and (below := getattr(command, "commands", {})):
        if arguments[0] not in below:
            return f"there is no command {arguments[0]!r}"
        command = below[arguments.pop(0)]
    experiments = [value for option, value in itertools.pairwise(arguments) if option == "--experiment"]
    unknown = set(experiments) - {*load_experiments(), "NAME", PLACEHOLDER}
    if unknown:
        return f"there is no experiment {unknown}"
    if not arguments:  # it is named, not shown
        return ""
    try:
        # A placeholder in capitals may stand for a number.
        command.make_context("shown", [re.sub(r"^[A-Z]$", "1", word) for word in arguments])
    except Exception as error:  # of typer's own click, whose name is private
        return str(error) or repr(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_shown_is_one(page: Path) -> None:
    shown = [one for line in code(page.read_text(encoding="utf-8")) for one in commands(line)]
    assert [f"{' '.join(one)}: {wrong}" for one in shown if (wrong := problem(*one))] == []


def test_the_commands_of_the_table_in_the_readme_are_tasks() -> None:
    rows = re.findall(r"^\| `([a-z][^`]*)` \| ", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 8
    assert [f"{row}: {wrong}" for row in rows if (wrong := problem("pixi run", row))] == []


def test_every_command_that_a_message_names_is_one() -> None:
    shown = [one for text in texts() for one in commands(text)]
    assert len(shown) > 10
    assert [f"{' '.join(one)}: {wrong}" for one in shown if (wrong := problem(*one))] == []


@pytest.mark.parametrize(
    ("runner", "words", "wrong"),
    [
        ("pixi run", "bench 0.25.4-5.3.1 --experiment causes --shard 1/4", ""),
        ("pixi run", "nothing", "there is no task 'nothing'"),
        ("python -m repro", "benchh", "there is no command 'benchh'"),
        ("python -m repro", "bench --experiment nope", "there is no experiment"),
        ("python3 tasks/run.py", "bench --round 3", "No such option"),
        ("python -m repro", "bench --rounds many", "many"),
        ("python -m repro", "report one two", "two"),
    ],
)
def test_a_command_that_is_none_is_found(runner: str, words: str, wrong: str) -> None:
    found = problem(runner, words)
    assert wrong in found
    assert bool(found) is bool(wrong)


# Messages


def rendered(node: ast.expr) -> str:
    """A text of the source, with a placeholder for what is different each time."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(rendered, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return rendered(node.left) + rendered(node.right)
    return PLACEHOLDER


def texts() -> list[str]:
    """Every text in the source."""
    found = []
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inner = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
        found += [rendered(node) for node in nodes if id(node) not in inner]
    return [text for text in found if len(text) > 5]


def messages() -> list[str]:
    """What the errors say that this project raises for people; those of the recipe are for programs."""
    found = []
    for file in SOURCES:
        if file.stem == "recipe":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            kind = ast.unparse(node.exc.func)
            if kind.endswith("Error") and kind not in BUILTIN:
                found.append(rendered(node.exc.args[0]))
    # What only passes on what another error says has no words of its own.
    return [text for text in found if re.search(r"[a-z]{3}", text)]


def listed() -> list[str]:
    """The messages of docs/troubleshooting.md: what stands between backticks in the first cell of a row."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (.*?) \| ", page, re.MULTILINE)
    return [span for cell in cells for span in re.findall(r"``? ?(.+?) ?``?(?=[ ,]|$)", cell)]


def fits(span: str, text: str) -> bool:
    """Whether the parts of the span stand in the text, in their order."""
    return re.search(".*?".join(re.escape(part.strip()) for part in span.split(GAP)), text, re.DOTALL) is not None


def test_every_message_has_its_cure() -> None:
    spans = listed()
    assert [text for text in messages() if not any(fits(span, text) for span in spans)] == []


def test_no_message_is_listed_that_nothing_says() -> None:
    said = texts()
    assert [span for span in listed() if not any(fits(span, text) for text in said)] == []
    assert not fits("cannot be ... nowhere", "it cannot be read; look elsewhere")
