"""Which arm runs when: the blocks of a condition and the rounds in them, seeded and balanced.

Standard library only. Only ``random()`` is drawn from: it is the one method of ``random.Random`` whose sequence Python
promises to keep.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from repro.model import SIDES, Trial

MOST_ENVIRONMENT_BYTES = 4096
"""As in hyperfine (src/util/randomized_environment_offset.rs): a page, so that stacks start at every offset in one.
Mytkowicz et al. (2009), Producing Wrong Data Without Doing Anything Obviously Wrong!, saw that decide results."""
FOLDER_LENGTHS = (8, 40)
"""Least and greatest length of the name of a block's working folder. Windows has 260 characters for a whole path."""


@dataclass(frozen=True, slots=True)
class Block:
    """One life of the workers."""

    number: int
    """From 1."""
    environment_bytes: int
    """To be added to the environment of its children."""
    folder_length: int
    """Characters of the name of its working folder."""
    rounds: tuple[tuple[Trial, Trial], ...]
    """The warm-up, then the measured ones; in each both arms, in the order in which they run."""


def block(key: str, number: int, rounds: int, seed: int) -> Block:
    """The block of this number (from 1) of the condition with this key, with so many measured rounds.

    In each two rounds of a block either arm goes first once, and of each two blocks the second mirrors the first.
    So both arms go first equally often after an even number of rounds or of blocks. The same arguments give the same
    block, and asking for more blocks or rounds leaves the first ones as they are.
    """
    draw = random.Random(f"{seed}/{key}/{number}").random
    environment_bytes = int(draw() * (MOST_ENVIRONMENT_BYTES + 1))
    shortest, longest = FOLDER_LENGTHS
    folder_length = shortest + int(draw() * (longest - shortest + 1))

    both_draw = random.Random(f"{seed}/{key}/{(number + 1) // 2}/order").random
    mirrored = number % 2 == 0
    order = [(both_draw() < 0.5) ^ mirrored]  # whether the base goes first: the warm-up
    for _ in range((rounds + 1) // 2):
        first = (both_draw() < 0.5) ^ mirrored
        order += [first, not first]
    trials = []
    for index, base_first in enumerate(order[: rounds + 1]):
        sides = SIDES if base_first else SIDES[::-1]
        trials.append((Trial(number, index, sides[0], 0), Trial(number, index, sides[1], 1)))
    return Block(number, environment_bytes, folder_length, tuple(trials))
