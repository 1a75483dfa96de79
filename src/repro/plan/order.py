"""Which path runs when in each round: seeded, balanced, and never rewritten by a longer run.

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


def within(first: int, trials: int) -> list[int]:
    """The arms (0 or 1) of a round in which each runs ``trials`` times and ``first`` begins: a Thue-Morse sequence.

    Each two neighbours are one trial of either arm, and each two of those mirror one another, as in ABBA BAAB:
    what the machine does slowly, evenly or ever faster, falls on both arms alike.
    """
    return [first ^ (place.bit_count() & 1) for place in range(2 * trials)]


def runner(arm: int, number: int) -> int:
    """Which of two runners of one path serves an arm in the round of this number; 0 is the warm-up.

    They change places every two rounds. One worker may be faster than another of the same kind for as long as it
    lives, by where its memory happens to lie: that is noise, and no difference of the arms.
    """
    return arm ^ (max(number - 1, 0) // 2 & 1)
