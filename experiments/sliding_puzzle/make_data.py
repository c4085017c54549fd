"""Boards of the sliding puzzle, each shuffled by a walk of the free place.

    python experiments/sliding_puzzle/make_data.py

writes train.jsonl and heldout.jsonl beside this file.  No held-out board is in the training data.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from stdlib.environments.sliding_puzzle import Board, is_ordered, moved, shown

SIZE = 3
MOVES = 15
NUM_BOARDS = 160
HELDOUT = 32
SEED = 2026

ASKED = """\
Order the board by moving the free place, written _, until the numbers stand in their order and it stands last.
Answer with one move at a time: <action>up</action>, <action>down</action>, <action>left</action> or \
<action>right</action> is the way that the free place goes. After each move the board is shown.

"""


def walked(draws: random.Random) -> Board:
    """Return a board that some moves order."""
    board: Board = [[row * SIZE + column + 1 for column in range(SIZE)] for row in range(SIZE)]
    board[-1][-1] = 0
    left = MOVES
    while left or is_ordered(board):
        after = moved(board, draws.choice(("up", "down", "left", "right")))
        if not isinstance(after, str):
            board, left = after, max(0, left - 1)
    return board


def main() -> None:
    """Write both files."""
    here, draws, boards = Path(__file__).parent, random.Random(SEED), dict[str, Board]()
    while len(boards) < NUM_BOARDS:
        board = walked(draws)
        boards[shown(board)] = board
    rows = [{"input": ASKED + text, "label": None, "puzzle": {"board": board}} for text, board in boards.items()]
    for name, part in (("train", rows[HELDOUT:]), ("heldout", rows[:HELDOUT])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (here / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
