"""Keep stdout for the worker's answers while a profiler, which talks there too, is started: POSIX only.

    python -I -S aside.py COMMAND...

The pipe on stdout moves to another descriptor, named in ``REPRO_ANSWERS``; stdout becomes stderr, which is the log;
then this process becomes the command. ``worker.py`` answers on the descriptor that the variable names.
"""

import os
import sys

ANSWERS = 3

if __name__ == "__main__":
    os.dup2(1, ANSWERS)
    os.dup2(2, 1)
    os.execve(sys.argv[1], sys.argv[1:], {**os.environ, "REPRO_ANSWERS": str(ANSWERS)})
