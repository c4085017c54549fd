"""Selectors, on groups of a few rewards, against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.ir.openness import OFF
from stdlib.samples import JsonValue
from stdlib.selectors import fifo, prioritised, stratified
from stdlib.selectors._waiting import Waiting
from tests.support.judged import group


def waiting(*rewards: float | None, metadata: JsonValue = None, source: str = "a.jsonl") -> Waiting:
    """Return a group with these rewards, None where a sample was not judged."""
    plain = group(0, *["" for _ in rewards], metadata=metadata)
    prompt = replace(plain.prompt, source=source)
    samples = tuple(replace(s, reward=r, prompt=prompt) for s, r in zip(plain.samples, rewards, strict=True))
    return Waiting(group=replace(plain, prompt=prompt, samples=samples), staleness_steps=0, num_uses=0)


@pytest.mark.parametrize(("count", "places"), [(0, []), (2, [0, 1]), (3, [0, 1, 2]), (9, [0, 1, 2])])
def test_fifo_takes_those_that_came_first(count: int, places: list[int]) -> None:
    assert fifo.select([waiting(0.0), waiting(1.0), waiting(0.5)], count) == places


def test_a_priority_is_the_variance_of_the_rewards() -> None:
    # p (1 - p) for rewards of 0 and 1.
    assert prioritised.priority([1.0, 0.0, 0.0, 0.0]) == 0.25 * 0.75
    assert prioritised.priority([1.0, 1.0]) == 0.0
    assert prioritised.priority([3.0, 1.0]) == 1.0
    assert prioritised.priority([]) == 0.0


def test_the_group_that_varies_most_is_first_and_of_equals_the_older_one() -> None:
    some = [waiting(0.0, 0.0), waiting(1.0, 0.0, 0.0, 0.0), waiting(1.0, 0.0), waiting(0.0, 1.0), waiting(1.0, 1.0)]
    assert prioritised.select(some, 5) == [2, 3, 1, 0, 4]
    assert prioritised.select(some, 2) == [2, 3]


def test_groups_that_are_not_judged_wait_in_the_order_in_which_they_came() -> None:
    assert prioritised.select([waiting(None, None), waiting(None, None)], 2) == [0, 1]


def test_the_reward_before_shaping_decides() -> None:
    shaped = waiting(1.0, 0.0)
    samples = tuple(replace(sample, raw_reward=1.0) for sample in shaped.group.samples)
    flat = replace(shaped, group=replace(shaped.group, samples=samples))
    assert prioritised.select([flat, waiting(0.1, 0.0)], 1) == [1]


def test_strata_take_turns_and_the_oldest_of_each_is_first() -> None:
    levels = ["easy", "easy", "easy", "hard", "easy", "hard"]
    some = [waiting(0.0, metadata={"level": level}) for level in levels]
    assert stratified.select(some, 2, stratum_key="level") == [0, 3]
    assert stratified.select(some, 4, stratum_key="level") == [0, 3, 1, 5]
    assert stratified.select(some, 6, stratum_key="level") == [0, 3, 1, 5, 2, 4]


def test_without_a_key_the_file_is_the_stratum() -> None:
    some = [waiting(0.0, source="a"), waiting(0.0, source="a"), waiting(0.0, source="b")]
    assert stratified.select(some, 2, stratum_key=OFF) == [0, 2]


def test_rows_without_the_key_are_one_stratum_and_values_of_any_kind_name_one() -> None:
    values: list[JsonValue] = [None, {"other": 1}, {"level": [1, 2]}, {"level": [1, 2]}, "text"]
    some = [waiting(0.0, metadata=value) for value in values]
    assert stratified.select(some, 2, stratum_key="level") == [0, 2]
    assert stratified.select(some, 5, stratum_key="level") == [0, 2, 1, 3, 4]


@pytest.mark.parametrize("count", range(5))
def test_no_group_is_taken_twice(count: int) -> None:
    some = [waiting(0.0, metadata={"level": i % 2}) for i in range(4)]
    for places in (
        fifo.select(some, count),
        prioritised.select(some, count),
        stratified.select(some, count, stratum_key="level"),
    ):
        assert len(places) == len(set(places)) == count
