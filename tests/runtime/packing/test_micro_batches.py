"""Cuts of a batch into micro-batches: nothing lost, nothing too large, always the same."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF, Off
from compiler.ir.training import Packing, SequenceFlops
from runtime.packing.micro_batches import MicroBatches, pack_by_count, pack_by_tokens

LENGTHS = st.lists(st.integers(0, 100), max_size=60)
ALGORITHMS = (
    "best_fit_decreasing",
    "modified_first_fit_decreasing",
    "first_fit_decreasing",
    "first_fit_shuffle",
    "concatenative",
)
FLOPS = SequenceFlops(per_token=100, per_pair=7)


def packed(lengths: list[int], *, max_tokens: int = 100, seed: int = 0, **changes: Any) -> MicroBatches:
    flops: SequenceFlops | Off = FLOPS if changes.get("balance") == "flops" else OFF
    packing = Packing(tokens=max_tokens, flops=flops, **changes)
    return pack_by_tokens(lengths, packing, max_tokens=max_tokens, seed=seed)


@given(
    LENGTHS,
    st.sampled_from(ALGORITHMS),
    st.sampled_from([OFF, "tokens", "flops"]),
    st.integers(100, 150),
    st.integers(),
)
def test_every_sequence_is_in_exactly_one_micro_batch_within_the_budget(
    lengths: list[int], algorithm: str, balance: object, budget: int, seed: int
) -> None:
    cut = packed(lengths, max_tokens=budget, algorithm=algorithm, balance=balance, seed=seed)
    assert sorted(i for part in cut for i in part) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in part) <= budget for part in cut)
    assert all(part and list(part) == sorted(part) for part in cut)
    assert cut == packed(lengths, max_tokens=budget, algorithm=algorithm, balance=balance, seed=seed)


@given(LENGTHS)
def test_best_fit_decreasing_stays_within_its_known_bound(lengths: list[int]) -> None:
    # any two micro-batches together exceed the budget, so there are fewer than 2 * total / budget + 1
    cut = packed(lengths)
    assert len(cut) <= 2 * sum(lengths) / 100 + 1
    assert len(cut) >= math.ceil(sum(lengths) / 100)


def test_worked_example() -> None:
    # 60 | 50 | 40 joins 60 (fullest with room) | 30 joins 50 | 20 joins 50 + 30 | 10 opens the third
    assert packed([10, 20, 30, 40, 50, 60]) == ((3, 5), (1, 2, 4), (0,))


def test_two_packers_agree_with_the_published_case_of_nine_lengths() -> None:
    # 10, 20, .., 90 into 100: first-fit decreasing needs 5, which is the lower bound of 450 / 100
    assert len(packed(list(range(10, 100, 10)))) == 5


def test_equal_lengths_fill_in_input_order() -> None:
    assert packed([5] * 7, max_tokens=16) == ((0, 1, 2), (3, 4, 5), (6,))


def test_an_oversize_sequence_is_an_error_that_names_it() -> None:
    with pytest.raises(SpecError) as caught:
        packed([50, 150, 70])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "RLC0642"
    assert "sequence 1" in diagnostic.message
    assert diagnostic.help[0].sets == (("train.packing.tokens", "150"),)


def test_no_sequences_make_no_micro_batches() -> None:
    assert packed([]) == ()
    assert pack_by_count(0, micro_batch=3) == ()


def test_cut_by_count_keeps_order_and_leaves_the_rest_to_the_last() -> None:
    assert pack_by_count(7, micro_batch=3) == ((0, 1, 2), (3, 4, 5), (6,))


@given(LENGTHS)
def test_balanced_tokens_differ_by_no_more_than_the_longest_sequence(lengths: list[int]) -> None:
    loads = [sum(lengths[i] for i in part) for part in packed(lengths, balance="tokens")]
    if len(loads) > 1:
        assert max(loads) - min(loads) <= max(lengths)


def test_balanced_flops_let_a_long_sequence_be_alone() -> None:
    # 70 costs 41,300; each 10 costs 1,700: two micro-batches hold 70 and 9 x 10
    lengths = [70, *[10] * 9]
    assert packed(lengths, balance="flops") == ((0,), tuple(range(1, 10)))
    assert packed(lengths, balance="tokens") == ((0, 9), tuple(range(1, 9)))


def test_a_balance_that_the_budget_forbids_takes_one_more_micro_batch() -> None:
    # two bins hold 10 x 19 = 190 tokens, but not 90 beside 10 x 10: FLOPs put all the short ones together
    lengths = [90, *[10] * 11]
    assert len(packed(lengths)) == 2 + (sum(lengths) > 200)
    cut = packed(lengths, balance="flops")
    assert [len(part) for part in cut] == [1, 6, 5]


def test_a_shuffle_is_that_of_its_seed() -> None:
    lengths = list(range(1, 60))
    cuts = {packed(lengths, algorithm="first_fit_shuffle", seed=seed) for seed in range(5)}
    assert len(cuts) == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("balance", [OFF, "tokens", "flops"])
def test_every_way_of_packing_refuses_what_fits_nowhere(algorithm: str, balance: object) -> None:
    with pytest.raises(SpecError, match="sequence 1 of the batch has 150 tokens"):
        packed([50, 150, 70], algorithm=algorithm, balance=balance)


def responses(mean: float, longest: int) -> list[int]:
    """Return 512 log-normal lengths, cut at the longest, with the mean that is asked for."""

    def drawn(mu: float) -> list[int]:
        draw = random.Random(0)
        return [max(1, min(longest, int(draw.lognormvariate(mu, 0.8)))) for _ in range(512)]

    mu = bisect_left(range(1400), mean, key=lambda hundredths: sum(drawn(hundredths / 100)) / 512) / 100
    return drawn(mu)


# Means and limits that NeMo-RL's performance summaries give for runs on OpenMathInstruct-2 and on software tasks.
@pytest.mark.parametrize(("mean", "longest"), [(701, 1536), (5698, 8192), (3203, 4096), (1060, 4096), (31599, 131072)])
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "concatenative"])
def test_micro_batches_are_full_on_responses_of_published_lengths(algorithm: str, mean: int, longest: int) -> None:
    lengths = responses(mean, longest)
    assert sum(lengths) / 512 == pytest.approx(mean, rel=0.02)
    budget = max(16384, longest)
    cut = packed(lengths, max_tokens=budget, algorithm=algorithm)
    assert sum(lengths) / (budget * len(cut)) >= 0.95
