"""The report in a real browser: what no parser can tell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from repro.report import report
from repro.results.tables import Tables
from support import report_tables as made_up

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    "--allow-file-access-from-files",
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on the PATH"),
]

# A page around the page: an iframe of the width to look at, and what a script finds in it.
LOOK = """<!doctype html>
<iframe src="{uri}" style="width:{width}px;height:800px;border:0"></iframe>
<pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const seen = (element) => element.getClientRects().length > 0;
  const wide = [...page.querySelectorAll("body *")].filter((element) => seen(element)
    && !element.closest(".scroll, pre, svg, .skip") && element.getBoundingClientRect().right > root.clientWidth + 1);
  const lines = (element) => element.getBoundingClientRect().height / parseFloat(getComputedStyle(element).lineHeight);
  document.getElementById("found").textContent = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth,
    wide: wide.map((element) => element.outerHTML.slice(0, 120)),
    plots: [...page.querySelectorAll("figure svg")].filter(seen).map((plot) => plot.getBoundingClientRect().width),
    text: Math.min(...[...page.querySelectorAll("figure svg text")].filter(seen)
      .map((text) => text.getBoundingClientRect().height)),
    answer: page.getElementById("answer").getBoundingClientRect().bottom,
    paragraphs: Math.max(...[...page.querySelectorAll("header p, #answer p")].map(lines)),
    sentences: Math.max(0, ...[...page.querySelectorAll(".questions section > p")].map(lines)),
    ground: getComputedStyle(page.body).backgroundColor,
    loaded: page.readyState,
  }});
}});
</script>"""
KINDS: dict[str, Callable[[], Tables]] = {
    "quick": lambda: made_up.made(cases=made_up.QUICK, blocks=2),
    "full": lambda: made_up.made(cases=made_up.MAIN + made_up.ORDERS + made_up.MORE, releases=made_up.RELEASES),
    "three": lambda: made_up.made(machines=made_up.MACHINES),
    "compare": made_up.compared,
}


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write(tmp_path_factory.mktemp("browser"), KINDS[request.param]()).html


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start the browser with an empty profile of its own."""
    assert CHROMIUM is not None
    profile = folder / f"profile-{len(list(folder.iterdir()))}"
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    return subprocess.run(
        (CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments),
        env={**os.environ, **home}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def look(written: Path, folder: Path, width: int, *arguments: str) -> dict[str, Any]:
    """What the page is like at this width."""
    around = folder / "around.html"
    around.write_text(LOOK.format(uri=written.as_uri(), width=width), encoding="utf-8")
    said = browse(folder, "--dump-dom", "--virtual-time-budget=5000", *arguments, around.as_uri()).stdout
    found = re.search(r'<pre id="found">(.+?)</pre>', said, re.DOTALL)
    assert found, said[-2000:]
    seen: dict[str, Any] = json.loads(unescape(found[1]))
    assert seen["loaded"] == "complete"
    return seen


@pytest.mark.parametrize("width", [380, 768, 1280])
def test_the_page_fits(written: Path, tmp_path: Path, width: int) -> None:
    seen = look(written, tmp_path, width)
    assert seen["wide"] == []
    assert seen["overflow"] == 0
    assert all(300 <= plot <= width for plot in seen["plots"])
    assert seen["text"] >= 9


def test_the_answer_is_on_the_first_screen_in_paragraphs_of_two_lines(written: Path, tmp_path: Path) -> None:
    seen = look(written, tmp_path, 1280)
    assert seen["answer"] <= 800
    assert seen["paragraphs"] < 2.5
    assert seen["sentences"] < 2.5


def test_dark_is_dark_and_light_is_light(written: Path, tmp_path: Path) -> None:
    grounds = [look(written, tmp_path, 1280, f"--blink-settings=preferredColorScheme={n}")["ground"] for n in (1, 0)]
    assert grounds == ["rgb(255, 255, 255)", "rgb(15, 19, 24)"]


def test_the_console_stays_silent(written: Path, tmp_path: Path) -> None:
    said = browse(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", written.as_uri()).stderr
    assert [line for line in said.splitlines() if "CONSOLE" in line] == []


def test_a_console_that_is_not_silent_is_heard(tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text("<!doctype html><script>console.error('heard')</script>", encoding="utf-8")
    said = browse(tmp_path, "--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri()).stderr
    assert "heard" in said


def test_it_prints(written: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={printed}", written.as_uri())
    assert printed.read_bytes().startswith(b"%PDF")
