"""Which engine was last given which prompts: where later ones that begin alike find what was computed for them.

What is remembered are digests of whole blocks of tokens, each of all tokens up to its end, the oldest forgotten first.
It is a guess: the engine may have let go of them, and then computes them again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

_BLOCK_TOKENS: Final = 32


class HeldPrefixes:
    """Blocks of tokens that engines were given.

    Args:
        most_blocks: that are remembered.
    """

    def __init__(self, *, most_blocks: int) -> None:
        self._most_blocks = most_blocks
        self._engines: OrderedDict[int, int] = OrderedDict()

    def note(self, tokens: Sequence[int], engine: int) -> None:
        """Remember that an engine was given tokens."""
        for digest in _digests(tokens):
            self._engines[digest] = engine
            self._engines.move_to_end(digest)
        while len(self._engines) > self._most_blocks:
            self._engines.popitem(last=False)

    def find(self, tokens: Sequence[int]) -> int | None:
        """Return the engine that was given the longest beginning of tokens, or None where none was given a block."""
        found: int | None = None
        for digest in _digests(tokens):
            engine = self._engines.get(digest)
            if engine is None:
                break
            found = engine
        return found

    def forget(self, engine: int) -> None:
        """Forget all that an engine was given: it has been lost, or holds nothing any more."""
        for digest in [digest for digest, held in self._engines.items() if held == engine]:
            del self._engines[digest]


def _digests(tokens: Sequence[int]) -> Iterator[int]:
    digest = 0
    for end in range(_BLOCK_TOKENS, len(tokens) + 1, _BLOCK_TOKENS):
        # Of integers it is the same in every process.
        digest = hash((digest, *tokens[end - _BLOCK_TOKENS : end]))
        yield digest
