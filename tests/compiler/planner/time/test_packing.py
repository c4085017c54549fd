"""How many micro-batches sequences fill, against first fit decreasing sequence by sequence and sums by hand."""

from __future__ import annotations

import pytest

from compiler.planner.time.lengths import Lengths, classes_of
from compiler.planner.time.packing import packed_micro_batches


def first_fit(lengths: list[float], budget: float) -> int:
    """Sequence by sequence, the longest first, each into the first micro-batch that has room for it."""
    rooms: list[float] = []
    for length in sorted(lengths, reverse=True):
        at = next((at for at, room in enumerate(rooms) if room >= length), None)
        if at is None:
            rooms.append(budget - length)
        else:
            rooms[at] -= length
    return len(rooms)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("budget", [4096.0, 5000.0, 16384.0])
def test_as_many_micro_batches_are_filled_as_by_first_fit_decreasing(spread: float, budget: float) -> None:
    lengths, samples, prompt = Lengths(2000.0, 4000.0, spread), 24 * 64, 96.0
    every = [prompt + one.tokens for one in classes_of(lengths, samples) for _ in range(round(one.share * samples))]
    assert packed_micro_batches(lengths, samples, prompt, budget) == pytest.approx(first_fit(every, budget), rel=0.05)


def test_sequences_longer_than_half_of_the_budget_have_one_each() -> None:
    assert packed_micro_batches(Lengths(600.0, 700.0, 0.05), 64, 0.0, 1000.0) == pytest.approx(64)


def test_a_sequence_beyond_the_budget_has_a_micro_batch_to_itself() -> None:
    assert packed_micro_batches(Lengths(600.0, 700.0, 0.05), 64, 0.0, 100.0) == pytest.approx(64)


def test_short_sequences_fill_what_there_is() -> None:
    assert packed_micro_batches(Lengths(100.0, 1000.0, 0.3), 1024, 10.0, 16384.0) == pytest.approx(
        1024 * 110 / 16384, rel=0.06
    )
