"""Mixtures: whose turn a position is, against the definition written down as a sort of all times."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.data.mixture import Mixture, Turn

weights = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=5)


@given(weights, st.integers(0, 2**63), st.integers(0, 400))
def test_turns_from_a_position_are_the_tail_of_all_turns(shares: list[float], seed: int, position: int) -> None:
    mixture = Mixture(shares, seed=seed)
    whole = list(islice(mixture.turns(0), position + 20))
    assert list(islice(mixture.turns(position), 20)) == whole[position:]


@given(weights, st.integers(0, 2**63), st.integers(1, 400))
def test_after_every_draw_each_source_had_its_share(shares: list[float], seed: int, count: int) -> None:
    turns = list(islice(Mixture(shares, seed=seed).turns(0), count))
    for source, weight in enumerate(shares):
        drawn = [turn.number for turn in turns if turn.source == source]
        assert drawn == list(range(len(drawn)))
        assert abs(len(drawn) - count * weight / sum(shares)) < len(shares)


def test_a_far_position_is_found_at_once_and_keeps_the_shares() -> None:
    far = 10**12
    turns = list(islice(Mixture([3.0, 1.0], seed=7).turns(far), 4000))
    assert [sum(turn.source == source for turn in turns) for source in (0, 1)] == [3000, 1000]
    first = {turn.source: turn.number for turn in reversed(turns)}
    assert sum(first.values()) == far


def test_even_weights_take_turns_and_the_seed_says_who_begins() -> None:
    firsts = {next(Mixture([1.0, 1.0], seed=seed).turns(0)).source for seed in range(20)}
    assert firsts == {0, 1}
    sources = [turn.source for turn in islice(Mixture([1.0, 1.0], seed=0).turns(0), 6)]
    assert sources[:2] * 3 == sources


@pytest.mark.parametrize("position", [0, 5])
def test_a_single_source_has_every_turn(position: int) -> None:
    assert list(islice(Mixture([0.3], seed=1).turns(position), 2)) == [Turn(0, position), Turn(0, position + 1)]
