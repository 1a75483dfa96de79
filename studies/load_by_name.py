#!/usr/bin/env python3
"""Does a worker that loads by the names of the wheels' files measure the same as one that loads as posted?

    PYTHONPATH=src python studies/load_by_name.py api:0.25.4 [--blocks 6] [--rounds 2] [--machine-threads 28]

In each block two fresh workers of one build, one loaded each way, register the committed images: a warm-up, then rounds
in balanced seeded order, as `bench` does. Prints the ratio by name over as posted, with its interval over blocks; an
interval around 1 says that the short way may stand for the posted one.
"""

from __future__ import annotations

import random

import setting
from repro import stats
from repro.model import Side
from repro.text import estimate


def main() -> None:
    """Print a row a condition."""
    parser = setting.arguments(__doc__)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=100, help="of each of the six resolutions")
    parser.add_argument("--machine-threads", type=int, default=28)
    parser.add_argument("--threads", type=int, default=2, help="of the told condition")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    build = setting.build_of(options.build, "api")
    ways: dict[Side, str] = {"base": "posted", "other": "modules"}
    with setting.working_folder() as folder:
        file = setting.parameter_file("posted-bspline", folder, MaximumNumberOfIterations=options.iterations)
        setting.print_header("build", "condition", "by name / as posted", "blocks", "between sd", "within sd")
        for condition, threads in (("as posted", None), (f"SetNumberOfThreads({options.threads})", options.threads)):
            draw, blocks = random.Random(options.seed), {}
            for block in range(options.blocks):
                workers = {
                    side: setting.Worker(build, folder, by=way, machine_threads=options.machine_threads)
                    for side, way in ways.items()
                }
                first = draw.choice(list(ways))
                rounds = []
                for number in range(options.rounds + 1):
                    order = sorted(ways, key=lambda side: (side != first) ^ (number % 2))
                    seconds = {
                        side: float(workers[side].register(file, folder / side, threads)["wall_s"]) for side in order
                    }
                    rounds.append(stats.round_log_ratio(seconds))
                for worker in workers.values():
                    worker.__exit__(None, None, None)
                blocks[block] = [one for one in rounds[1:] if one is not None]
            found = stats.estimate(blocks)
            assert found is not None
            sds = (f"{sd:.2%}" if sd is not None else "" for sd in (found.between_sd, found.within_sd))
            setting.print_row(build.name, condition, estimate(found), found.blocks, *sds)


if __name__ == "__main__":
    main()
