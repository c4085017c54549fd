"""Tensors that lie somewhere: read when somebody asks for one, and sent to another process as where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


class StoredTensors(Mapping[str, Tensor]):
    """Tensors by name, which a function of a module reads, with arguments that another process can be sent.

    The first that asks for a tensor reads all of them; what is sent is only how they are read.
    """

    def __init__(self, read: Callable[[], Mapping[str, Tensor]]) -> None:
        self._read = read
        self._tensors: Mapping[str, Tensor] | None = None

    def __getitem__(self, name: str) -> Tensor:
        """Return one.  Raises: SpecError as reading them does."""
        return self._held()[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names.  Raises: SpecError as reading them does."""
        return iter(self._held())

    def __len__(self) -> int:
        """Return how many there are.  Raises: SpecError as reading them does."""
        return len(self._held())

    def __reduce__(self) -> tuple[type[StoredTensors], tuple[Callable[[], Mapping[str, Tensor]]]]:
        """Without what was read."""
        return StoredTensors, (self._read,)

    def _held(self) -> Mapping[str, Tensor]:
        if self._tensors is None:
            self._tensors = self._read()
        return self._tensors
