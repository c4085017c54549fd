"""Prefixes whose keys and values can be used again: those of sequences under way, and those that finished ones left.

What a finished sequence leaves is kept as long as there is memory for it, and the least recently used goes first.
Tokens are compared in blocks: a prefix is found by the hashes of its blocks, each of which takes in those before, and
then compared token by token, so that no collision and no block that is used in part is taken for a match.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from torch import Tensor

BLOCK_TOKENS: Final = 16

Owner = TypeVar("Owner")


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """What a finished sequence left: [2 L, 1, K, P, H] keys and values, or [L, 1, K, P, H], of P tokens, and [P, L, C]
    the experts that these visited, where that is recorded.
    """

    tokens: tuple[int, ...]
    kv_L1KPH: Tensor
    expert_ids_PLC: Tensor | None = None


class Prefixes(Generic[Owner]):
    """An index of prefixes under one version of weights.

    `Owner` is a sequence under way, of which the keys and values lie elsewhere.  `num_tokens` counts those that are
    held here; `num_evicted_tokens` those that had to go.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._tokens: dict[int, tuple[int, ...]] = {}
        self._owners: dict[int, Owner] = {}
        self._of_owner: dict[Owner, int] = {}
        self._by_block: dict[int, dict[int, None]] = {}
        self._next_id = 0
        self.num_tokens = 0
        self.num_evicted_tokens = 0

    def touch(self, tokens: tuple[int, ...]) -> bool:
        """Whether all of some tokens are held already, alone or as the beginning of more; they count as used now."""
        found, num_same = self._longest(tokens)
        if found is None or found not in self._held or num_same < len(tokens):
            return False
        self._held.move_to_end(found)
        return True

    def hold(self, held: Held) -> None:
        """Keep what a sequence left, in the place of what it goes on from."""
        found, num_same = self._longest(held.tokens)
        if found is not None and found in self._held and num_same == len(self._tokens[found]):
            self._drop(found)
        self._held[self._enter(held.tokens)] = held
        self.num_tokens += len(held.tokens)

    def share(self, owner: Owner, tokens: tuple[int, ...]) -> None:
        """Let others find what a sequence under way holds."""
        if len(tokens) >= BLOCK_TOKENS:
            number = self._enter(tokens)
            self._owners[number] = owner
            self._of_owner[owner] = number

    def unshare(self, owner: Owner) -> None:
        """Forget a sequence that is no longer under way, or whose keys and values are of older weights."""
        if (number := self._of_owner.pop(owner, None)) is not None:
            del self._owners[number]
            self._leave(number)

    def find(self, tokens: Sequence[int]) -> tuple[Held | Owner, int] | None:
        """Return who holds the longest prefix of some tokens, and how many they are, or None if it is no block."""
        number, num_same = self._longest(tokens)
        if number is None:
            return None
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number], num_same
        return self._owners[number], num_same

    def evict(self, num_tokens: int) -> None:
        """Let go of at least so many tokens, the least recently used first, or of all that are held."""
        wanted = self.num_tokens - num_tokens
        while self._held and self.num_tokens > wanted:
            number = next(iter(self._held))
            self.num_evicted_tokens += len(self._tokens[number])
            self._drop(number)

    def clear(self) -> None:
        """Forget everything: the weights are others, or what follows may not depend on what was before."""
        for index in (self._held, self._tokens, self._owners, self._of_owner, self._by_block):
            index.clear()
        self.num_tokens = 0

    def _longest(self, tokens: Sequence[int]) -> tuple[int | None, int]:
        candidates: dict[int, None] = {}
        for key in _keys(tokens):
            if not (deeper := self._by_block.get(key)):
                break
            candidates = deeper
        best, most = None, 0
        for number in candidates:
            same = _num_same(tokens, self._tokens[number])
            if same > most:
                best, most = number, same
        return (best, most) if most >= BLOCK_TOKENS else (None, 0)

    def _enter(self, tokens: tuple[int, ...]) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        self._tokens[number] = tokens
        for key in _keys(tokens):
            self._by_block.setdefault(key, {})[number] = None
        return number

    def _drop(self, number: int) -> None:
        self.num_tokens -= len(self._tokens[number])
        del self._held[number]
        self._leave(number)

    def _leave(self, number: int) -> None:
        for key in _keys(self._tokens.pop(number)):
            numbers = self._by_block[key]
            del numbers[number]
            if not numbers:
                del self._by_block[key]


def _keys(tokens: Sequence[int]) -> list[int]:
    """Return the hash of each whole block with all before it; hashes of numbers are the same in every process."""
    keys: list[int] = []
    key = 0
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        key = hash((key, *tokens[start : start + BLOCK_TOKENS]))
        keys.append(key)
    return keys


def _num_same(some: Sequence[int], others: Sequence[int]) -> int:
    most = min(len(some), len(others))
    if tuple(some[:most]) == others[:most]:
        return most
    return next(i for i in range(most) if some[i] != others[i])
