"""The sliding puzzle, against boards that are enumerated."""

from __future__ import annotations

import itertools

import pytest

from stdlib.environments.sliding_puzzle import Board, fault_of, is_ordered, is_solvable, moved, shown
from stdlib.samples import JsonValue, Prompt

ORDERED: Board = [[1, 2], [3, 0]]


def prompt(metadata: JsonValue) -> Prompt:
    return Prompt(row=0, source="d:1", text="?", tokens=(1,), label=None, metadata=metadata)


def reachable(board: Board) -> set[str]:
    """All boards that moves lead to, by searching."""
    seen, open_boards = {shown(board)}, [board]
    while open_boards:
        current = open_boards.pop()
        for way in ("up", "down", "left", "right"):
            after = moved(current, way)
            if not isinstance(after, str) and shown(after) not in seen:
                seen.add(shown(after))
                open_boards.append(after)
    return seen


def test_a_board_can_be_ordered_if_moves_reach_it_from_the_order() -> None:
    found = reachable(ORDERED)
    boards = [[[a, b], [c, d]] for a, b, c, d in itertools.permutations(range(4))]
    assert [is_solvable(board) for board in boards] == [shown(board) in found for board in boards]


@pytest.mark.parametrize("way", ["up", "down", "left", "right"])
def test_moves_of_a_larger_board_keep_it_solvable(way: str) -> None:
    board: Board = [[1, 2, 3], [4, 0, 6], [7, 5, 8]]
    after = moved(board, way)
    assert not isinstance(after, str)
    assert is_solvable(board)
    assert is_solvable(after)
    assert not is_solvable([[2, 1, 3], [4, 5, 6], [7, 8, 0]])


def test_a_direction_is_the_way_of_the_free_place_and_slide_names_the_tile() -> None:
    assert moved(ORDERED, "up") == [[1, 0], [3, 2]]
    assert moved(ORDERED, "slide 1 2") == [[1, 0], [3, 2]]
    assert moved(ORDERED, "left") == moved(ORDERED, "slide 2 1") == [[1, 2], [0, 3]]


@pytest.mark.parametrize(
    ("action", "why"),
    [("down", "outside"), ("slide 1 1", "not beside"), ("slide 9 9", "outside"), ("jump", "an action is")],
)
def test_what_cannot_be_done_leaves_the_board_and_is_told(action: str, why: str) -> None:
    assert why in str(moved(ORDERED, action))


def test_order_has_the_free_place_last() -> None:
    assert is_ordered(ORDERED)
    assert not is_ordered([[0, 1], [2, 3]])


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"board": [[1, 2]]}, {"board": [[1, 2], [3, 3]]}, {"board": "1 2"}, {"board": [[2, 1], [3, 0]]}],
)
def test_a_row_without_a_board_that_can_be_ordered_is_told(metadata: JsonValue) -> None:
    assert fault_of(prompt(metadata))


def test_a_row_with_one_is_fine() -> None:
    assert fault_of(prompt({"board": [[1, 2], [0, 3]]})) == ""


def test_a_place_of_five_thousand_digits_is_no_action() -> None:
    assert "an action is" in str(moved(ORDERED, f"slide {'9' * 5_000} 1"))
