"""Cuts of a batch into micro-batches: nothing lost, nothing too large, always the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import SpecError
from runtime.packing.micro_batches import pack_by_count, pack_by_tokens

LENGTHS = st.lists(st.integers(0, 100), max_size=60)


@given(LENGTHS)
def test_every_sequence_is_in_exactly_one_micro_batch_within_the_budget(lengths: list[int]) -> None:
    cut = pack_by_tokens(lengths, max_tokens=100)
    assert sorted(i for part in cut for i in part) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in part) <= 100 for part in cut)
    assert all(part for part in cut)


@given(LENGTHS)
def test_best_fit_decreasing_stays_within_its_known_bound(lengths: list[int]) -> None:
    # any two micro-batches together exceed the budget, so there are fewer than 2 * total / budget + 1
    cut = pack_by_tokens(lengths, max_tokens=100)
    assert len(cut) <= 2 * sum(lengths) / 100 + 1
    assert len(cut) >= math.ceil(sum(lengths) / 100)


def test_worked_example() -> None:
    # 60 | 50 | 40 joins 60 (fullest with room) | 30 joins 50 | 20 joins 50 + 30 | 10 opens the third
    assert pack_by_tokens([10, 20, 30, 40, 50, 60], max_tokens=100) == ((3, 5), (1, 2, 4), (0,))


def test_two_packers_agree_with_the_published_case_of_nine_lengths() -> None:
    # 10, 20, .., 90 into 100: first-fit decreasing needs 5, which is the lower bound of 450 / 100
    assert len(pack_by_tokens(list(range(10, 100, 10)), max_tokens=100)) == 5


def test_equal_lengths_fill_in_input_order() -> None:
    assert pack_by_tokens([5] * 7, max_tokens=16) == ((0, 1, 2), (3, 4, 5), (6,))


def test_an_oversize_sequence_is_an_error_that_names_it() -> None:
    with pytest.raises(SpecError) as caught:
        pack_by_tokens([50, 150, 70], max_tokens=100)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "RLC0642"
    assert "sequence 1" in diagnostic.message
    assert diagnostic.help[0].sets == (("train.packing.tokens", "150"),)


def test_no_sequences_make_no_micro_batches() -> None:
    assert pack_by_tokens([], max_tokens=10) == ()
    assert pack_by_count(0, micro_batch=3) == ()


def test_cut_by_count_keeps_order_and_leaves_the_rest_to_the_last() -> None:
    assert pack_by_count(7, micro_batch=3) == ((0, 1, 2), (3, 4, 5), (6,))
