"""Several targets in one process: the first line of an input names the target that the rest is for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence

from tests.fuzz.faults import Fault, fault_of
from tests.fuzz.mutations import Mutator
from tests.fuzz.target import load

# Of so many changes one is made of bytes, without any knowledge of texts.
_SHARE_OF_BYTES = 4


class Several:
    """Targets with their seeds and their ways to change an input.

    Args:
        names: the targets, at least one.
        num_seeds: how many seeds of each are used as they are, spread over all of them; 0 means every one.
    """

    def __init__(self, names: Sequence[str], num_seeds: int) -> None:
        self.names = tuple(names)
        self.targets = {name: load(name) for name in names}
        pools = {name: [data for data in target.seeds() if data] for name, target in self.targets.items()}
        self.mutators = {name: Mutator(pools[name], tuple(self.targets[name].words())) for name in names}
        self.chosen = {n: pool[:: max(1, len(pool) // num_seeds)] if num_seeds else pool for n, pool in pools.items()}

    def seeds(self) -> Iterator[bytes]:
        """Yield inputs to begin with."""
        for name, pool in self.chosen.items():
            yield from (_joined(name, data) for data in pool)

    def split(self, data: bytes) -> tuple[str, bytes]:
        """Return the target that an input is for, and what is for it; one that names none is for one of them."""
        head, _, rest = data.partition(b"\n")
        name = head.decode("ascii", "replace")
        return (name, rest) if name in self.targets else (self.names[zlib.crc32(data) % len(self.names)], data)

    def mutated(self, data: bytes, max_size: int, seed: int, of_bytes: Callable[[bytes, int], bytes]) -> bytes:
        """Return a changed input for the same target.

        Args:
            of_bytes: changes bytes, as the fuzzer itself does.
        """
        name, rest = self.split(data)
        room = max(1, max_size - len(name) - 1)
        rest = rest[:room]
        if seed % _SHARE_OF_BYTES == 0:
            return _joined(name, of_bytes(rest, room))
        return _joined(name, self.mutators[name](rest, room, seed))

    def fault_of(self, data: bytes, *, patience: float) -> tuple[str, bytes, Fault | None]:
        """Return the target of an input, what was for it, and what is wrong with that."""
        name, rest = self.split(data)
        return name, rest, fault_of(self.targets[name], rest, patience=patience)


def _joined(name: str, data: bytes) -> bytes:
    return name.encode() + b"\n" + data
