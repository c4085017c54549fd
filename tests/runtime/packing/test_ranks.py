"""Shares of data-parallel ranks: NeMo-RL's published cases, and what must hold of any."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.openness import OFF
from compiler.ir.training import Packing, SequenceFlops
from runtime.packing.bins import Bins, in_multiples
from runtime.packing.concatenative import concatenative
from runtime.packing.first_fit import first_fit_decreasing
from runtime.packing.micro_batches import MicroBatches
from runtime.packing.modified_first_fit import modified_first_fit_decreasing
from runtime.packing.ranks import share_by_count, share_by_padded_tokens, share_by_tokens

SMALL = list(range(10, 100, 10))
MEDIUM = [25, 35, 45, 55, 65, 75, 85, 95, 15, 25, 35, 45, 55, 65, 75, 85, 95]
ALGORITHMS = ("best_fit_decreasing", "modified_first_fit_decreasing", "first_fit_shuffle", "concatenative")


def shares(lengths: list[int], *, num_ranks: int, max_tokens: int, **changes: Any) -> tuple[MicroBatches, ...]:
    multiple = changes.pop("multiple", 1)
    flops = SequenceFlops(per_token=100, per_pair=7) if changes.get("balance") == "flops" else OFF
    packing = Packing(tokens=max_tokens, flops=flops, **changes)
    return share_by_tokens(lengths, packing, num_ranks=num_ranks, max_tokens=max_tokens, seed=1, multiple=multiple)


def loads(share: MicroBatches, lengths: list[int]) -> list[int]:
    return [sum(lengths[i] for i in part) for part in share]


@pytest.mark.parametrize(
    ("bins", "multiple", "expected"),
    [
        (concatenative(SMALL, max_tokens=100), 8, [[0, 1], [4], [5], [6], [7], [8], [3], [2]]),
        (first_fit_decreasing(SMALL, max_tokens=100), 3, [[8, 0], [7, 1], [6, 2], [5], [4], [3]]),
        (first_fit_decreasing(SMALL, max_tokens=100), 7, [[8, 0], [7, 1], [6], [5], [4], [3], [2]]),
        ([[0], [1]], 2, [[0], [1]]),
    ],
)
def test_more_bins_take_from_those_with_the_most_sequences(bins: Bins, multiple: int, expected: Bins) -> None:
    assert in_multiples(bins, multiple) == expected


@pytest.mark.parametrize("pack", [concatenative, first_fit_decreasing, modified_first_fit_decreasing])
def test_ten_to_twelve_bins_in_fours_are_twelve(pack: Any) -> None:
    assert len(in_multiples(pack(MEDIUM, max_tokens=100), 4)) == 12


@pytest.mark.parametrize("multiple", [3, 4])
def test_more_bins_than_sequences_are_refused(multiple: int) -> None:
    with pytest.raises(ValueError, match=f"{multiple} micro-batches cannot be made of 2 sequences"):
        in_multiples(concatenative([50, 50], max_tokens=100), multiple)


@pytest.mark.parametrize("balance", ["tokens", "flops"])
def test_fewer_sequences_than_ranks_are_refused_where_costs_are_even(balance: str) -> None:
    with pytest.raises(ValueError, match="3 micro-batches cannot be made of 2 sequences"):
        shares([50, 50], num_ranks=3, max_tokens=100, balance=balance)


def test_micro_batches_are_dealt_in_turn() -> None:
    lengths = [46, 24, 55, 88, 11, 14, 73, 17]
    first, second = shares(lengths, num_ranks=2, max_tokens=100, algorithm="modified_first_fit_decreasing")
    assert loads(first, lengths) == [99, 96]
    assert loads(second, lengths) == [87, 46]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sequences_of_nearly_a_budget_are_alone(algorithm: str) -> None:
    found = shares([900, 850, 1000, 950], num_ranks=2, max_tokens=1024, algorithm=algorithm)
    assert [[len(part) for part in share] for share in found] == [[1, 1], [1, 1]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_equal_sequences_fill_two_micro_batches_of_each_rank(algorithm: str) -> None:
    found = shares([256] * 16, num_ranks=2, max_tokens=1024, algorithm=algorithm)
    assert [[len(part) for part in share] for share in found] == [[4, 4], [4, 4]]


@given(
    st.lists(st.integers(1, 100), min_size=24, max_size=70),
    st.integers(1, 6),
    st.integers(1, 2),
    st.sampled_from(ALGORITHMS),
    st.sampled_from([OFF, "tokens", "flops"]),
)
def test_ranks_have_as_many_micro_batches_each_and_every_sequence_once(
    lengths: list[int], num_ranks: int, multiple: int, algorithm: str, balance: object
) -> None:
    lengths = lengths[: len(lengths) // (num_ranks * multiple) * num_ranks * multiple]
    found = shares(
        lengths, num_ranks=num_ranks, max_tokens=100, algorithm=algorithm, balance=balance, multiple=multiple
    )
    assert len(found) == num_ranks
    assert len({len(share) for share in found}) == 1
    assert len(found[0]) % multiple == 0
    assert all(part for share in found for part in share)
    assert sorted(i for share in found for part in share for i in part) == list(range(len(lengths)))
    assert all(load <= 100 for share in found for load in loads(share, lengths))


@pytest.mark.parametrize("pad", [1, 32, 64, 256])
@pytest.mark.parametrize("balance", [OFF, "tokens"])
def test_padded_lengths_of_a_long_run(pad: int, balance: object) -> None:
    draw = random.Random(123)
    for _ in range(4):
        lengths = [-(-draw.randint(50, 800) // pad) * pad for _ in range(256)]
        found = shares(lengths, num_ranks=4, max_tokens=1200, balance=balance)
        assert sorted(i for share in found for part in share for i in part) == list(range(256))
        assert all(load <= 1200 for share in found for load in loads(share, lengths))


def test_balanced_ranks_have_less_to_wait_for() -> None:
    draw = random.Random(5)
    lengths = [1 + int(min(4000, draw.lognormvariate(6.5, 1.0))) for _ in range(512)]

    def slowest(balance: object) -> float:
        found = shares(lengths, num_ranks=8, max_tokens=4096, balance=balance)
        totals = [sum(100 * lengths[i] + 7 * lengths[i] ** 2 for part in share for i in part) for share in found]
        return max(totals) / (sum(totals) / 8)

    assert slowest("flops") < 1.001 < slowest(OFF)


@pytest.mark.parametrize(
    ("num_sequences", "num_ranks", "expected"),
    [(4, 2, [[0, 1], [2, 3]]), (3, 3, [[0], [1], [2]])],
)
def test_shares_by_count_are_consecutive(num_sequences: int, num_ranks: int, expected: Bins) -> None:
    found = share_by_count(num_sequences, micro_batch=1, num_ranks=num_ranks)
    assert [[i for part in share for i in part] for share in found] == expected


def test_shares_by_count_leave_no_rest() -> None:
    assert share_by_count(8, micro_batch=2, num_ranks=2) == (((0, 1), (2, 3)), ((4, 5), (6, 7)))
    with pytest.raises(ValueError, match="6 sequences are not dealt to 2 ranks 2 at a time"):
        share_by_count(6, micro_batch=2, num_ranks=2)


def test_padded_micro_batches_are_cut_at_the_same_places_on_all_ranks() -> None:
    # by length: 2 2 | 4 8 | 16 28 | 32 32; padded to fours 2 x 8 = 16 fits 32, 3 x 28 does not, nor 2 x 32
    lengths = [2, 8, 4, 16, 28, 32, 2, 32]
    first, second = share_by_padded_tokens(lengths, num_ranks=2, max_tokens=32, pad_multiple=4)
    assert first == ((0, 2), (3,), (5,))
    assert second == ((6, 1), (4,), (7,))


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 4), st.sampled_from([1, 4, 25]))
def test_padded_micro_batches_are_within_the_budget(lengths: list[int], num_ranks: int, pad: int) -> None:
    lengths = lengths[: len(lengths) // num_ranks * num_ranks]
    found = share_by_padded_tokens(lengths, num_ranks=num_ranks, max_tokens=200, pad_multiple=pad)
    assert sorted(i for share in found for part in share for i in part) == list(range(len(lengths)))
    for row in zip(*found, strict=True):
        assert len({len(part) for part in row}) == 1
        longest = max(lengths[i] for part in row for i in part)
        assert len(row[0]) * -(-longest // pad) * pad <= 200


def test_padded_micro_batches_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="3 sequences cannot be dealt to 2 ranks"):
        share_by_padded_tokens([1, 2, 3], num_ranks=2, max_tokens=10)
    with pytest.raises(ValueError, match="a sequence of 12 tokens is above the 10"):
        share_by_padded_tokens([1, 9], num_ranks=2, max_tokens=10, pad_multiple=4)
