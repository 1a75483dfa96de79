"""The pool's file as a module, and a made-up itk that does what the lines of the parameter file say."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path
from typing import Any

from repro.paths import ROOT

sys.path.insert(0, str(ROOT / "recipe"))
elastix_pool: Any = importlib.import_module("elastix_pool")

_MODULES = {
    "__init__.py": "",
    "ITKCommonBasePython.py": """
        class itkMersenneTwisterRandomVariateGenerator:
            seeds, made = 0, False

            @classmethod
            def GetInstance(cls):
                if not cls.made:
                    cls.made = bool(cls.GetNextSeed())

            @classmethod
            def ResetNextSeed(cls):
                cls.seeds = 0

            @classmethod
            def GetNextSeed(cls):
                cls.seeds += 1
                return cls.seeds
        """,
    "elxParameterObjectPython.py": """
        class elastixParameterObject:
            New = classmethod(lambda cls: cls())

            def __init__(self):
                self.texts = []

            def AddParameterFile(self, file):
                with open(file) as stream:
                    self.texts.append(stream.read())

            def AddParameterMap(self, words):
                self.texts.append("\\n".join(f"{name} {' '.join(values)}" for name, values in words.items()))
        """,
    "itkMetaImageIOPython.py": """
        class itkMetaImageIO:
            New = classmethod(lambda cls: cls())
        """,
    "itkImageFileReaderPython.py": """
        class Picture:
            def __init__(self, content):
                self.content = content

            def GetImageDimension(self):
                return 3 if b"NDims = 3" in self.content else 2

        class Reader:
            New = classmethod(lambda cls: cls())

            def SetImageIO(self, io):
                pass

            def SetFileName(self, file):
                self.file = file

            def UpdateOutputInformation(self):
                with open(self.file, "rb") as stream:
                    self.content = stream.read()

            def Update(self):
                pass

            def GetImageIO(self):
                return self

            def GetNumberOfDimensions(self):
                return self.GetOutput().GetImageDimension()

            def GetOutput(self):
                return Picture(self.content)

        class itkImageFileReaderIF2(Reader):
            pass

        class itkImageFileReaderIF3(Reader):
            pass

        class itkImageFileReaderIUC2(Reader):
            pass
        """,
    "itkElastixRegistrationMethodPython.py": """
        import ctypes, json, os, pathlib, signal, time

        from itk.ITKCommonBasePython import itkMersenneTwisterRandomVariateGenerator as generator

        AT_IMPORT = {name: os.environ.get(name) for name in os.environ if name.startswith(("ITK_", "OPENBLAS_"))}

        class Method:
            New = classmethod(lambda cls: cls())

            def __init__(self):
                self.set = {}

            def __getattr__(self, name):
                if not name.startswith("Set"):
                    raise AttributeError(name)
                return lambda value: self.set.__setitem__(name[3:], value)

            def UpdateLargestPossibleRegion(self):
                for text in self.set["ParameterObject"].texts:
                    for line in text.splitlines():
                        word, *rest = line.split(maxsplit=1)
                        getattr(self, "do_" + word)(*rest)

            def do_nothing(self, *_):
                pass

            def do_fail(self, message):
                raise RuntimeError(message)

            def do_log(self, message):
                # As elastix does: the reason goes to its log alone.
                words = "\\nitk::ExceptionObject (0x5584ae8643b0)\\nDescription: ITK ERROR: " + message + "\\n\\n"
                if self.set["LogToConsole"]:
                    print(words, flush=True)
                if self.set.get("LogToFile"):
                    pathlib.Path(self.set["OutputDirectory"], "elastix.log").write_text(words)
                raise RuntimeError("/src/x.hxx:389:\\nITK ERROR: Internal elastix error: See elastix log")

            def do_write(self, file):
                part = pathlib.Path(file + "." + str(os.getpid()))
                part.write_text(str(os.getpid()))
                part.rename(file)

            def do_wait(self, file):
                while not os.path.exists(file):
                    time.sleep(0.005)

            def do_hold(self):
                # As elastix does: for ever, with Python's lock held.
                ctypes.PyDLL(None).sleep(600)

            def do_die(self):
                os.kill(os.getpid(), signal.SIGKILL)

            def do_die_once(self, file):
                try:
                    os.close(os.open(file, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return
                self.do_die()

            def do_empty(self, name):
                pathlib.Path(self.set["OutputDirectory"], name).write_bytes(b"")

            def do_draw(self):
                generator.GetInstance()
                generator.GetNextSeed()

            def GetTransformParameterObject(self):
                return self

            def GetNumberOfParameterMaps(self):
                return len(self.set["ParameterObject"].texts)

            def GetParameterMap(self, number):
                seen = {name: self.shown(value) for name, value in self.set.items() if name != "ParameterObject"}
                facts = {"pid": os.getpid(), "set": seen, "environment": AT_IMPORT, "method": type(self).__name__}
                facts["seeds"] = generator.seeds
                return {"facts": (json.dumps(facts),), "number": (str(number),)}

            def shown(self, value):
                if hasattr(value, "texts"):
                    return value.texts
                return value.content.decode("latin-1") if hasattr(value, "content") else value

        class itkElastixRegistrationMethodIF2IF2(Method):
            pass

        class itkElastixRegistrationMethodIF3IF3(Method):
            pass
        """,
}


def write_fake_itk(site: Path) -> None:
    """Put the made-up itk into a folder for modules."""
    (site / "itk").mkdir(parents=True)
    for name, text in _MODULES.items():
        (site / "itk" / name).write_text(textwrap.dedent(text), encoding="utf-8")
