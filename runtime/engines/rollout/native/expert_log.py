"""Which experts the tokens of the sequences under way visited: a table with a row for each row of the cache.

It is there only where somebody asks for the experts; nothing is computed for it, since routers choose anyway.

Shapes: B rows, R the rows in use, M rows that enter, T positions, G prompts, P positions of a prompt, L layers with
experts, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stdlib.samples import ExpertIds


class ExpertLog:
    """The experts of each position of each row.

    Args:
        num_layers: those with experts.
    """

    def __init__(self, *, num_rows: int, num_positions: int, num_layers: int, experts_per_token: int) -> None:
        shape = (num_rows, num_positions, num_layers, experts_per_token)
        self._ids_BTLC = torch.zeros(shape, dtype=torch.int16)

    def fill_prompts(self, rows: Sequence[int], ids_GPLC: Tensor, *, prompt_of_row: Sequence[int]) -> None:
        """Copy what prompts visited into rows, each from the prompt that it continues."""
        width = ids_GPLC.shape[1]
        self._ids_BTLC[torch.tensor(rows), :width] = ids_GPLC.index_select(0, torch.tensor(prompt_of_row))

    def put(self, position_R: Tensor, ids_RLC: Tensor) -> None:
        """Write what the current tokens of the first rows visited."""
        self._ids_BTLC[torch.arange(position_R.shape[0]), position_R] = ids_RLC

    def resize(self, num_rows: int, *, num_kept: int) -> None:
        """Make room for another number of rows, and keep the first ones."""
        before_BTLC = self._ids_BTLC
        self._ids_BTLC = before_BTLC.new_zeros(num_rows, *before_BTLC.shape[1:])
        self._ids_BTLC[:num_kept] = before_BTLC[:num_kept]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move sequences to other rows."""
        if sources:
            self._ids_BTLC[torch.tensor(targets)] = self._ids_BTLC[torch.tensor(sources)]

    def of(self, row: int, *, num_tokens: int) -> ExpertIds:
        """Return a copy of what the first tokens of a row visited."""
        return ExpertIds(self._ids_BTLC[row, :num_tokens].clone())
