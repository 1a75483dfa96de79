"""The order in which the arms run."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from repro.plan.schedule import FOLDER_LENGTHS, MOST_ENVIRONMENT_BYTES, Block, block

KEYS = st.text("abc123", max_size=8)


def base_first(one: Block) -> list[bool]:
    """Whether the base goes first, in each measured round."""
    return [first.side == "base" for first, _ in one.rounds[1:]]


@given(KEYS, st.integers(1, 50), st.integers(1, 12), st.integers(0, 5))
def test_each_round_has_either_arm_once_after_a_warm_up(key: str, number: int, rounds: int, seed: int) -> None:
    made = block(key, number, rounds, seed)
    assert len(made.rounds) == rounds + 1
    for index, trials in enumerate(made.rounds):
        assert sorted(trial.side for trial in trials) == ["base", "other"]
        assert [trial.position for trial in trials] == [0, 1]
        assert {(trial.block, trial.round) for trial in trials} == {(number, index)}
    assert made.rounds[0][0].phase == "warmup"


@given(KEYS, st.integers(1, 50), st.integers(1, 12), st.integers(0, 5))
def test_in_each_two_rounds_either_arm_goes_first_once(key: str, number: int, rounds: int, seed: int) -> None:
    order = base_first(block(key, number, rounds, seed))
    assert all(first != second for first, second in zip(order[::2], order[1::2], strict=False))


@given(KEYS, st.integers(0, 20), st.integers(1, 9), st.integers(0, 5))
def test_of_each_two_blocks_the_second_mirrors_the_first(key: str, pair: int, rounds: int, seed: int) -> None:
    first, second = (base_first(block(key, 2 * pair + number, rounds, seed)) for number in (1, 2))
    assert [not one for one in first] == second


@given(KEYS, st.integers(1, 50), st.integers(1, 9), st.integers(0, 5))
def test_asking_for_more_rounds_leaves_the_first_ones(key: str, number: int, rounds: int, seed: int) -> None:
    few, many = (block(key, number, count, seed) for count in (rounds, rounds + 3))
    assert many.rounds[: rounds + 1] == few.rounds
    assert few == block(key, number, rounds, seed)


def test_seed_condition_and_block_decide_the_order() -> None:
    orders = {tuple(base_first(block(key, 1, 12, seed))) for key in "abcd" for seed in range(4)}
    assert len(orders) > 8
    firsts = Counter(base_first(block(f"key {n}", 1, 1, 1))[0] for n in range(400))
    assert 140 < firsts[True] < 260


def test_environment_and_folder_differ_from_block_to_block() -> None:
    blocks = [block("key", number, 2, 1) for number in range(1, 200)]
    sizes, lengths = [one.environment_bytes for one in blocks], [one.folder_length for one in blocks]
    assert min(sizes) >= 0
    assert max(sizes) <= MOST_ENVIRONMENT_BYTES
    assert len(set(sizes)) > 150
    assert set(lengths) == set(range(FOLDER_LENGTHS[0], FOLDER_LENGTHS[1] + 1))


def test_the_order_is_the_same_on_every_machine_and_python() -> None:
    made = block("0123", 3, 4, 1)
    assert (made.environment_bytes, made.folder_length, base_first(made)) == (2749, 21, [True, False, False, True])
