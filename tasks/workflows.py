#!/usr/bin/env python3
"""Check .github/workflows with actionlint, where there is one.

pixi's environment has it. There is no wheel of it (its package downloads the program from GitHub
while it is built), so the private venv has none; there the check is left out, and said to be.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """The exit status of actionlint; 0 where there is none."""
    program = shutil.which("actionlint")
    if program is None:
        print("workflows: not checked, there is no actionlint here (pixi's environment has it)", file=sys.stderr)
        return 0
    return subprocess.run([program], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
