"""As much of itk-elastix as a worker asks for, without any registration: for runs whose bookkeeping is looked at.

build.py makes a package of it, whose modules have the names of the wheels' files.
"""
# ruff: noqa: N801, N802 - the names are itk's

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from itk import elastix  # elastix.py beside this one, once it is a package


class _Object:
    """Takes every setting."""

    @classmethod
    def New(cls) -> Self:
        return cls()

    def __init__(self) -> None:
        self.set: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*values: Any) -> int:
            self.set[name] = values[0] if values else True
            return 2

        return call


class itkImageFileReaderIF2(_Object):
    def GetImageIO(self) -> _Object:
        return _Object()

    def GetOutput(self) -> Any:
        return self.set["SetFileName"]


class itkImageFileReaderIUC2(itkImageFileReaderIF2):
    pass


class elastixParameterObject(_Object):
    pass


class itkElastixRegistrationMethodIF2IF2(_Object):
    def UpdateLargestPossibleRegion(self) -> None:
        parameters, output = (
            self.set["SetParameterObject"].set["AddParameterFile"],
            Path(self.set["SetOutputDirectory"]),
        )
        elastix.register(Path(parameters), output, "api")


class itkMultiThreaderBase(_Object):
    GetGlobalDefaultThreader = GetGlobalDefaultNumberOfThreads = GetGlobalMaximumNumberOfThreads = staticmethod(
        lambda: 1
    )


class itkVersion:
    GetITKVersion = staticmethod(lambda: "0")
