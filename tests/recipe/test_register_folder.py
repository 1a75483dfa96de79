"""The example program, as a user copies it, with a made-up itk that does what the parameter file says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from repro.paths import RECIPE
from support.pool import write_fake_itk
from support.waiting import eventually

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Run:
    """Starts the example on the folder ``images`` with a parameter file that says this."""
    write_fake_itk(tmp_path / "site")
    app = tmp_path / "app"
    app.mkdir()
    for file in (RECIPE.with_name("register_folder.py"), RECIPE):
        shutil.copy(file, app)
    for name in ("a.mhd", "a.raw", "b.nii.gz", "c.TIF", ".DS_Store", "._c.tif", "notes.txt"):
        file = tmp_path / "images" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("pixels", encoding="utf-8")
    (tmp_path / "image").write_text("pixels", encoding="utf-8")

    def run(text: str, *arguments: str, folder: str = "images") -> subprocess.Popen[str]:
        (tmp_path / "parameters.txt").write_text(text, encoding="utf-8")
        command = [sys.executable, str(app / "register_folder.py"), "image", folder, "out"]
        return subprocess.Popen(
            [*command, "--params", "parameters.txt", "--workers", "2", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def ended(program: subprocess.Popen[str]) -> tuple[list[str], str]:
    out, errors = program.communicate(timeout=120)
    return out.splitlines(), errors


IMAGES = ["a.mhd", "b.nii.gz", "c.TIF"]


@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals")
def test_it_registers_the_images_of_a_folder_even_if_a_worker_dies(start: Run, tmp_path: Path) -> None:
    program = start(f"die_once {tmp_path / 'once'}\nnothing", "--timeout", "60")
    (*lines, last), errors = ended(program)
    assert sorted(lines) == [f"{name}: registered" for name in IMAGES], errors
    assert last == "3 of 3 registered to image"
    assert program.returncode == 0
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == IMAGES


def test_an_image_that_fails_has_one_line(start: Run) -> None:
    program = start("log the samples map outside\\n of the image")
    (*lines, last), errors = ended(program)
    assert (len(lines), last, errors) == (3, "0 of 3 registered to image", "")
    assert all("elastix says: the samples map outside" in line for line in lines)
    assert program.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_the_loss_of_its_first_process_costs_a_line_each_and_no_traceback(start: Run, tmp_path: Path) -> None:
    program = start(f"write {tmp_path / 'busy'}\nwait {tmp_path / 'go'}")
    assert eventually((tmp_path / "busy").exists)
    psutil.Process(program.pid).children()[0].kill()
    (tmp_path / "go").touch()
    (*lines, last), errors = ended(program)
    assert sorted(lines) == [f"{name}: registered" for name in IMAGES]
    assert (last, errors) == ("3 of 3 registered to image", "")


def test_a_name_that_cannot_be_printed_costs_no_registration(
    start: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "Źródło.tif").write_text("pixels", encoding="utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    program = start("nothing")
    (*lines, last), errors = ended(program)
    assert (len(lines), last, errors) == (4, "4 of 4 registered to image", "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--workers", "0"], "at least 1 worker"),
        (["--timeout", "nan"], "above 0, not nan"),
        (["--timeout", "-1"], "above 0, not -1"),
    ],
)
def test_a_number_that_is_none_is_said_in_a_line(start: Run, wrong: list[str], words: str) -> None:
    program = start("nothing", *wrong)
    lines, errors = ended(program)
    assert (lines, program.returncode) == ([], 2)
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_file_in_the_place_of_the_folder_is_said_in_a_line(start: Run) -> None:
    program = start("nothing", folder="image")
    lines, errors = ended(program)
    assert (lines, program.returncode) == ([], 2)
    assert "image" in errors
    assert len(errors.splitlines()) == 1


def test_a_folder_without_images_is_said(start: Run, tmp_path: Path) -> None:
    program = start("nothing", folder="site")
    lines, errors = ended(program)
    assert (lines, program.returncode) == ([], 2)
    assert "site: no images" in errors
