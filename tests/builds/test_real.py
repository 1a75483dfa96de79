"""Real builds: what `fetch` has put here, a wheel repacked under a dev version, an executable by its path."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from repro.builds import given, installed
from repro.builds.installed import InstalledBuild
from repro.errors import UnavailableError
from repro.paths import BUILDS
from support import builds_wheels

pytestmark = pytest.mark.real


def fetched(name: str) -> InstalledBuild:
    try:
        return installed.load(name)
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["cli:5.2.0", "cli:5.3.1", "api:0.21.0", "api:0.25.4", "sitk:3.0.0a1.post183"])
def test_a_fetched_build_is_what_it_says(name: str) -> None:
    build = fetched(name)
    assert installed.verify(build) == []
    if build.command:
        done = subprocess.run(
            [build.folder / "bin" / "transformix", "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"transformix version: {build.build.version}"


def test_simpleitk_needs_no_numpy() -> None:
    build = fetched("sitk:3.0.0a1.post183")
    code = (
        f"import sys; sys.path.insert(0, {str(build.site_packages)!r}); import SimpleITK as s; s.ElastixImageFilter()"
    )
    subprocess.run([build.interpreter(), "-IS", "-c", code], check=True)


def test_a_repacked_wheel_registers_under_its_own_name_and_leaves_no_bytecode(tmp_path: Path) -> None:
    base = fetched("api:0.25.4")
    build = given.resolve(str(builds_wheels.repack(base, "0.25.5.dev3", tmp_path)), root=BUILDS, offline=True)
    try:
        assert build.name == f"api:0.25.5.dev3+{build.build.digest[:8]}"
        assert build.facts["itk"] == base.facts["itk"]
        code = (
            f"import sys; sys.path.insert(0, {str(build.site_packages)!r}); import itk; "
            "itk.ElastixRegistrationMethod; print(itk.Version.GetITKVersion())"
        )
        done = subprocess.run([build.interpreter(), "-IS", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == base.facts["itk"]
        assert installed.verify(build) == []
    finally:
        given.discard(build)


def test_an_executable_by_its_path_is_a_build_of_its_own(tmp_path: Path) -> None:
    shim = fetched("cli:5.3.1").folder / "bin" / "elastix"
    build = given.resolve(str(shim), root=tmp_path / "builds")
    assert build.name == f"cli:5.3.1+{build.build.digest[:8]}"
    assert subprocess.run([*build.command, "--version"], capture_output=True, check=True).stdout
