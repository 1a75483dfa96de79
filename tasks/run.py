#!/usr/bin/env python3
"""Run a command without pixi: ``python3 tasks/run.py bench-all --quick``. It makes a private venv first.

This file stays readable for any Python 3, so that a too old one gets a sentence and no traceback.
"""

import os.path
import sys


def main() -> int:
    """The exit status of the command."""
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write(
            "tasks/run.py needs Python 3.11 or newer, this is " + found + " (" + sys.executable + ").\n"
            "Run it with a newer one, for example: python3.11 tasks/run.py " + " ".join(sys.argv[1:]) + "\n"
        )
        return 2
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:0] = [here, os.path.join(os.path.dirname(here), "src")]  # noqa: PTH118, PTH120
    from launch import launch

    return launch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
