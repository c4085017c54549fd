"""Jobs that are done ahead of time, in chunks, come in the order in which they were drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import pytest

from runtime.data.ahead import Ahead

MANY = 64  # chunks of four jobs


def numbers(first: int = 0) -> Iterator[tuple[int, Callable[[], int]]]:
    for number in count(first):
        yield number, lambda number=number: number * number


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("most", [1, 12, MANY])
def test_results_come_in_their_order(workers: int, most: int) -> None:
    ahead = Ahead(numbers(), workers=workers, most=most)
    assert [ahead.next() for _ in range(300)] == [(n, n * n) for n in range(300)]
    ahead.close()


def test_a_job_that_fails_fails_where_it_is_due() -> None:
    def jobs() -> Iterator[tuple[int, Callable[[], int]]]:
        for number in count():
            yield number, lambda number=number: 60 // (5 - number)

    ahead = Ahead(jobs(), workers=1, most=MANY)
    assert [ahead.next()[1] for _ in range(5)] == [12, 15, 20, 30, 60]
    with pytest.raises(ZeroDivisionError):
        ahead.next()
    assert ahead.next() == (6, -60)
    ahead.close()


@pytest.mark.parametrize("drawn", range(10))
def test_what_was_drawn_before_drawing_failed_comes_before_the_failure(drawn: int) -> None:
    def jobs() -> Iterator[tuple[int, Callable[[], int]]]:
        yield from islice(numbers(), drawn)
        raise OSError("gone")

    ahead = Ahead(jobs(), workers=2, most=MANY)
    assert [ahead.next()[0] for _ in range(drawn)] == list(range(drawn))
    with pytest.raises(OSError, match="gone"):
        ahead.next()
    ahead.close()


def test_what_is_held_is_bounded() -> None:
    drawn: list[int] = []

    def jobs() -> Iterator[tuple[int, Callable[[], int]]]:
        for number, job in numbers():
            drawn.append(number)
            yield number, job

    ahead = Ahead(jobs(), workers=1, most=MANY)
    for _ in range(200):
        ahead.next()
    ahead.close()
    assert 200 <= len(drawn) <= 200 + MANY
