"""The sliding puzzle: a square board with one free place, to be ordered by moving tiles into it.

A row of the data shows the board in its prompt and holds it in its metadata, {"board": [[1, 2], [0, 3]]}, 0 for the
free place.  The policy answers <action>DIRECTION</action>, where the direction is the way the free place goes, `up`,
`down`, `left` or `right`; <action>slide ROW COLUMN</action> moves the tile of that place, counted from 1, into the free
place beside it; <action>view</action> shows the board again.  The board after a move is the next observation.  Order,
with the free place last, earns 1 and ends the episode; running out of turns earns nothing.
Source: NeMo-RL, nemo_rl/environments/games/sliding_puzzle.py.
"""

from __future__ import annotations

import re
from typing import Any

from compiler.diagnostics.annotations import override
from stdlib.episodes import Context, Episode, Observation, Turn
from stdlib.samples import Prompt

STOP_STRINGS = ("</action>",)
REWARDS = True

Board = list[list[int]]

_SLIDE = re.compile(r"slide\s+(\d{1,6})\s+(\d{1,6})")
_WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def begin(context: Context) -> Episode:
    """Begin an episode.  Raises: ValueError if the row holds no board."""
    return _Episode(context, board_of(context.prompt.metadata))


def fault_of(prompt: Prompt) -> str:
    """Return why a row holds no board that can be ordered, or nothing."""
    try:
        board = board_of(prompt.metadata)
    except ValueError as fault:
        return str(fault)
    return "" if is_solvable(board) else f"no moves order the board {board}"


def is_solvable(board: Board) -> bool:
    """Whether moves can order a board: each changes the parity of its permutation and of the way of the free place."""
    tiles = [tile or len(board) ** 2 for row in board for tile in row]
    swaps = sum(a > b for at, a in enumerate(tiles) for b in tiles[at + 1 :])
    free = tiles.index(len(tiles))
    steps = 2 * (len(board) - 1) - free // len(board) - free % len(board)
    return swaps % 2 == steps % 2


def board_of(metadata: object) -> Board:
    """Return the board of a row.  Raises: ValueError if it is none."""
    given: Any = metadata.get("board") if isinstance(metadata, dict) else None
    is_square = isinstance(given, list) and all(isinstance(row, list) and len(row) == len(given) for row in given)
    if not is_square or sorted(tile for row in given for tile in row) != list(range(len(given) ** 2)) or len(given) < 2:
        raise ValueError(f"the metadata of the row holds no board, a square of 0 to n * n - 1, but {given!r:.80}")
    return [list(row) for row in given]


def shown(board: Board) -> str:
    """Return a board as the policy reads it, a line for each row and `_` for the free place."""
    return "\n".join(" ".join(str(tile) if tile else "_" for tile in row) for row in board)


def is_ordered(board: Board) -> bool:
    """Whether the tiles stand in order, the free place last."""
    tiles = [tile for row in board for tile in row]
    return tiles == [*range(1, len(tiles)), 0]


def moved(board: Board, action: str) -> Board | str:
    """Return the board after an action, or why it cannot be taken."""
    row, column = next((r, c) for r, line in enumerate(board) for c, tile in enumerate(line) if tile == 0)
    slide = _SLIDE.fullmatch(action)
    if slide:
        to_row, to_column = int(slide[1]) - 1, int(slide[2]) - 1
    elif action in _WAYS:
        to_row, to_column = row + _WAYS[action][0], column + _WAYS[action][1]
    else:
        return "an action is up, down, left, right, view or slide ROW COLUMN"
    if not (0 <= to_row < len(board) and 0 <= to_column < len(board)):
        return "that is outside of the board"
    if abs(to_row - row) + abs(to_column - column) != 1:
        return "that tile is not beside the free place"
    after = [list(line) for line in board]
    after[row][column], after[to_row][to_column] = after[to_row][to_column], 0
    return after


class _Episode(Episode):
    def __init__(self, context: Context, board: Board) -> None:
        self._context = context
        self._board = board

    @override
    async def step(self, turn: Turn) -> Observation:
        _, _, behind = turn.text.partition("<action>")
        body, end, _ = behind.partition("</action>")
        action = " ".join(body.lower().split()) if end else ""
        if action == "view":
            return Observation(text=f"\n{shown(self._board)}\n", reward=0.0)
        after = moved(self._board, action)
        if isinstance(after, str):
            said = self._context.malformed(after)
            return Observation(text=f"\n{said}\n{shown(self._board)}\n", reward=0.0)
        self._board = after
        if is_ordered(after):
            return Observation(is_done=True, reward=1.0)
        return Observation(text=f"\n{shown(after)}\n", reward=0.0)
