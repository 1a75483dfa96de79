"""``python -m repro``."""

from repro.cli.cli import main

main()
