"""Data order: pure, complete in every epoch, and resumed from a position alone."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.data.order import DataOrder, permutation


@given(num_rows=st.integers(1, 40), seed=st.integers(0, 2**63), position=st.integers(0, 200), count=st.integers(0, 120))
def test_taking_at_once_equals_taking_one_by_one_from_fresh_orders(
    num_rows: int, seed: int, position: int, count: int
) -> None:
    at_once = DataOrder(num_rows, seed=seed, shuffle=True).take(position, count)
    singly = [DataOrder(num_rows, seed=seed, shuffle=True).take(position + i, 1)[0] for i in range(count)]
    assert list(at_once) == singly


@given(num_rows=st.integers(1, 60), seed=st.integers(0, 2**64))
def test_every_epoch_holds_every_row_once(num_rows: int, seed: int) -> None:
    order = DataOrder(num_rows, seed=seed, shuffle=True)
    for epoch in range(3):
        assert sorted(order.take(epoch * num_rows, num_rows)) == list(range(num_rows))


def test_draws_of_4_over_10_rows_drop_none_at_the_end_of_an_epoch() -> None:
    order = DataOrder(10, seed=3, shuffle=True)
    draws = [order.take(4 * step, 4) for step in range(5)]
    assert Counter(itertools.chain(*draws)) == dict.fromkeys(range(10), 2)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(permutation(50, seed=seed, epoch=epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_without_shuffling_rows_come_as_in_the_files() -> None:
    assert DataOrder(3, seed=9, shuffle=False).take(2, 5) == (2, 0, 1, 2, 0)


def test_all_orders_of_four_rows_are_equally_likely() -> None:
    counts = Counter(tuple(permutation(4, seed=1, epoch=epoch).tolist()) for epoch in range(12_000))
    expected = 12_000 / 24
    chi_squared = sum((counts[p] - expected) ** 2 / expected for p in itertools.permutations(range(4)))
    # 23 degrees of freedom: 49.7 is exceeded once in a thousand.
    assert chi_squared < 49.7


def test_the_order_never_changes_between_versions() -> None:
    assert permutation(8, seed=0, epoch=0).tolist() == [1, 5, 4, 0, 3, 2, 7, 6]


def test_no_rows_have_no_order() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        DataOrder(0, seed=0, shuffle=True)
