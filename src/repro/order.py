"""Which path goes first in each round: seeded, balanced, and never rewritten by a longer run.

Standard library only, so that the process that launches and times stays thin.
"""

from __future__ import annotations

import random


def order(seed: int, condition_key: str, rounds: int) -> list[bool]:
    """For each round, whether the first arm goes first.

    Rounds come in blocks of two, and in each block either arm goes first once, in an order drawn
    from the seed. So after any even number of rounds both arms have gone first equally often, after an
    odd number all but once, and asking for more rounds later leaves the first ones as they were.

    Only ``random()`` is drawn from: it is the one method whose sequence Python promises to keep.
    """
    draw = random.Random(f"{seed}/{condition_key}").random
    blocks = (draw() < 0.5 for _ in range((rounds + 1) // 2))
    return [first for block in blocks for first in (block, not block)][:rounds]
