import ast
from collections.abc import Iterator
from pathlib import Path

from repro.paths import ROOT

PACKAGE = ROOT / "src" / "repro"
CORE = {"model", "errors", "paths", "files", "text", "stats"}
MAY_IMPORT = {
    **dict.fromkeys(CORE, CORE),
    "system": CORE,
    "elastix": CORE | {"system"},
    "builds": CORE | {"system", "elastix"},
    "plan": CORE | {"system", "elastix", "builds"},
    "measure": CORE | {"system", "elastix", "builds", "plan"},
    "results": CORE,
    "explain": CORE | {"results"},
    "report": CORE | {"results", "explain"},
    "cli": CORE | {"system", "elastix", "builds", "plan", "measure", "results", "explain", "report"},
    "__main__": {"cli"},
    "__init__": set[str](),
}


def imports(file: Path) -> Iterator[str]:
    """The rooms that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("repro.") and name != "repro.__version__")


def test_imports_go_one_way() -> None:
    against = [
        f"{file.relative_to(PACKAGE)} imports {found}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for room in [file.relative_to(PACKAGE).parts[0].removesuffix(".py")]
        for found in imports(file)
        if found not in MAY_IMPORT[room] | {room}
    ]
    assert against == []
