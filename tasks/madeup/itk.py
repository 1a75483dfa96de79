"""As much of itk as a worker asks for, without any registration: for runs of which only the bookkeeping matters."""
# ruff: noqa: N802 - the names are itk's

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Self

F = float
_found = importlib.util.spec_from_file_location("elastix", Path(__file__).with_name("elastix.py"))
assert _found is not None
assert _found.loader is not None
elastix: Any = importlib.util.module_from_spec(_found)
_found.loader.exec_module(elastix)


def imread(file: str, pixel: type) -> str:
    """An image: its name serves."""
    del pixel
    return file


class _Object:
    """Takes every setting."""

    output = file = ""
    parameters: _Object

    @classmethod
    def New(cls) -> Self:
        return cls()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 1

    def SetOutputDirectory(self, folder: str) -> None:
        self.output = folder

    def AddParameterFile(self, file: str) -> None:
        self.file = file

    def SetParameterObject(self, parameters: _Object) -> None:
        self.parameters = parameters

    def UpdateLargestPossibleRegion(self) -> None:
        elastix.register(Path(self.parameters.file), Path(self.output), 0.5)


class ParameterObject(_Object):
    """itk.ParameterObject"""


ElastixRegistrationMethod = {(str, str): _Object}


class MultiThreaderBase(_Object):
    """itk.MultiThreaderBase"""

    GetGlobalDefaultThreader = GetGlobalDefaultNumberOfThreads = GetGlobalMaximumNumberOfThreads = staticmethod(
        lambda: 1
    )


class Version:
    """itk.Version"""

    GetITKVersion = staticmethod(lambda: "0")
