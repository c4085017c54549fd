"""Ways of packing against bins that NeMo-RL's own packers return for the same lengths, and against slower versions."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.packing.best_fit import best_fit_decreasing
from runtime.packing.bins import Bins
from runtime.packing.concatenative import concatenative
from runtime.packing.first_fit import first_fit, first_fit_decreasing, first_fit_shuffle
from runtime.packing.modified_first_fit import modified_first_fit_decreasing

SMALL = list(range(10, 100, 10))
MEDIUM = [25, 35, 45, 55, 65, 75, 85, 95, 15, 25, 35, 45, 55, 65, 75, 85, 95]
MIXED = [10, 50, 100, 20, 80, 30, 70, 40, 60, 90]
TIES = [40, 40, 30, 30, 30, 30]
THIRDS = [34, 34, 33, 33, 33, 33]
PARTS = [50, 50, 34, 34, 17, 17, 16, 16]
LENGTHS = st.lists(st.integers(0, 100), max_size=60)


def large() -> list[int]:
    draw = random.Random(42)
    return [draw.randint(10, 90) for _ in range(100)]


def shuffled(lengths: Sequence[int], *, max_tokens: int) -> Bins:
    """First fit in the order in which Python's own shuffle puts the indices, as NeMo-RL draws it."""
    order = list(range(len(lengths)))
    random.Random(42).shuffle(order)
    return first_fit(lengths, order, max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        (SMALL, [[8, 0], [7, 1], [6, 2], [5, 3], [4]]),
        (MEDIUM, [[16], [7], [15, 8], [6], [14, 9], [5, 0], [13, 10], [4, 1], [12, 11], [3, 2]]),
        (MIXED, [[2], [9, 0], [4, 3], [6, 5], [8, 7], [1]]),
        ([30] * 5, [[4, 3, 2], [1, 0]]),
        ([100] * 3, [[2], [1], [0]]),
        ([50], [[0]]),
        ([], []),
        (TIES, [[1, 0], [5, 4, 3], [2]]),
        (THIRDS, [[1, 0], [5, 4, 3], [2]]),
        (PARTS, [[1, 0], [3, 2, 5], [4, 7, 6]]),
    ],
)
def test_first_fit_decreasing(lengths: list[int], expected: Bins) -> None:
    assert first_fit_decreasing(lengths, max_tokens=100) == expected


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        (SMALL, [[8, 0], [7, 1], [6, 2], [5, 3], [4]]),
        (MEDIUM, [[7], [16], [6, 8], [15], [5, 0], [14, 9], [4, 1], [13, 10], [3, 2], [12, 11]]),
        (MIXED, [[2], [9, 0], [4, 3], [6, 5], [8, 7], [1]]),
        ([30] * 5, [[3, 4], [0, 1, 2]]),
        ([100] * 3, [[0], [1], [2]]),
        ([50], [[0]]),
        ([], []),
        (TIES, [[5], [0, 1], [2, 3, 4]]),
        (THIRDS, [[5], [0, 1], [2, 3, 4]]),
        (PARTS, [[5, 6, 7], [2, 3, 4], [0, 1]]),
    ],
)
def test_modified_first_fit_decreasing(lengths: list[int], expected: Bins) -> None:
    assert modified_first_fit_decreasing(lengths, max_tokens=100) == expected


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "expected"),
    [
        (SMALL, 100, [[0, 1, 2, 3], [4], [5], [6], [7], [8]]),
        ([4, 1, 3, 2, 1, 3, 4, 5], 5, [[0, 1], [2, 3], [4, 5], [6], [7]]),
        ([4, 1, 3, 2, 1, 3, 4, 5], 8, [[0, 1, 2], [3, 4, 5], [6], [7]]),
        ([30] * 5, 100, [[0, 1, 2], [3, 4]]),
        ([], 100, []),
    ],
)
def test_concatenative(lengths: list[int], max_tokens: int, expected: Bins) -> None:
    assert concatenative(lengths, max_tokens=max_tokens) == expected


def test_first_fit_in_the_order_of_a_known_shuffle() -> None:
    assert shuffled(SMALL, max_tokens=100) == [[3, 4, 0], [6, 2], [7, 1], [8], [5]]


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [
        (SMALL, (6, 5, 5, 5)),
        (MEDIUM, (12, 10, 10, 11)),
        (MIXED, (6, 6, 6, 7)),
        (large(), (64, 48, 48, 51)),
        ([30] * 5, (2, 2, 2, 2)),
        ([100] * 3, (3, 3, 3, 3)),
        ([50], (1, 1, 1, 1)),
        ([], (0, 0, 0, 0)),
    ],
)
def test_numbers_of_bins(lengths: list[int], counts: tuple[int, ...]) -> None:
    ways = (concatenative, first_fit_decreasing, modified_first_fit_decreasing, shuffled)
    assert tuple(len(pack(lengths, max_tokens=100)) for pack in ways) == counts


@given(LENGTHS, st.integers(100, 130), st.randoms(use_true_random=False))
def test_first_fit_equals_a_search_from_the_first_bin(lengths: list[int], budget: int, draw: random.Random) -> None:
    order = list(range(len(lengths)))
    draw.shuffle(order)
    bins: Bins = []
    loads: list[int] = []
    for i in order:
        chosen = next((b for b, load in enumerate(loads) if load + lengths[i] <= budget), len(bins))
        if chosen == len(bins):
            bins.append([])
            loads.append(0)
        bins[chosen].append(i)
        loads[chosen] += lengths[i]
    assert first_fit(lengths, order, max_tokens=budget) == bins


@given(LENGTHS, st.integers(100, 5000))
def test_best_fit_equals_a_search_in_a_sorted_list(lengths: list[int], budget: int) -> None:
    bins: Bins = []
    rooms: list[tuple[int, int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        at = bisect_left(rooms, (lengths[i], -1))
        if at == len(rooms):
            bins.append([])
            room, chosen = budget, len(bins) - 1
        else:
            room, chosen = rooms.pop(at)
        bins[chosen].append(i)
        insort(rooms, (room - lengths[i], chosen))
    assert best_fit_decreasing(lengths, max_tokens=budget) == bins


@given(LENGTHS, st.integers(100, 130))
def test_modified_first_fit_equals_its_passes_written_out(lengths: list[int], budget: int) -> None:
    assert modified_first_fit_decreasing(lengths, max_tokens=budget) == _passes(lengths, budget)


def _passes(lengths: list[int], budget: int) -> Bins:
    rest = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    bins = [[i] for i in rest if 2 * lengths[i] > budget]
    rest = rest[len(bins) :]

    def room(members: list[int]) -> int:
        return budget - sum(lengths[i] for i in members)

    def fitting(members: list[int], condition: Callable[[int], bool]) -> list[int]:
        return [i for i in rest if condition(i) and lengths[i] <= room(members)]

    def is_small(i: int) -> bool:
        return 3 * lengths[i] <= budget < 6 * lengths[i]

    for members in bins:
        for i in fitting(members, lambda i: 3 * lengths[i] > budget)[:1]:
            members.append(i)
            rest.remove(i)
    for members in reversed([members for members in bins if len(members) == 1]):
        small = [i for i in rest if is_small(i)]
        if len(small) >= 2 and lengths[small[-1]] + lengths[small[-2]] <= room(members):
            members.append(small[-1])
            rest.remove(small[-1])
            i = fitting(members, is_small)[0]
            members.append(i)
            rest.remove(i)
    for members in bins:
        while found := fitting(members, lambda _: True):
            members.append(found[0])
            rest.remove(found[0])
    own: Bins = []
    for i in rest:
        emptiest = max(own, key=room, default=None)
        if emptiest is None or lengths[i] > room(emptiest):
            own.append([i])
        else:
            emptiest.append(i)
    return bins + sorted(own, key=room, reverse=True)


def test_a_shuffle_leaves_the_global_random_state_alone() -> None:
    state = random.getstate()
    first_fit_shuffle(SMALL, max_tokens=100, seed=3)
    assert random.getstate() == state
