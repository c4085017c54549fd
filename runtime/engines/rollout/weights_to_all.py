"""One pass over a trainer's weights, given to several engines at once.

Reading the weights may be collective, so they are read once, by the thread that asks.  Engines take them at the same
time, each in a thread of its own, and at most `_MOST_AHEAD` tensors wait for the slowest: no copy of the whole model is
made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import TYPE_CHECKING, Final, Literal

from compiler.diagnostics.diagnostic import InternalError, SpecError
from runtime.protocols import RolloutEngine

if TYPE_CHECKING:
    from torch import Tensor

_MOST_AHEAD: Final = 4


def load_into_all(
    engines: Mapping[int, RolloutEngine], tensors: Iterator[tuple[str, Tensor]], *, version: int
) -> dict[int, SpecError]:
    """Give weights to engines, and return the errors of those that refused them or were gone, by number.

    Raises: what reading the weights raises; then no engine has all of them.
    """
    taps = {number: _Tap() for number in engines}
    with ThreadPoolExecutor(max(1, len(engines)), thread_name_prefix="weights") as threads:
        loads = {
            number: threads.submit(taps[number].feed, engine, version=version) for number, engine in engines.items()
        }
        is_whole = False
        try:
            for name, tensor in tensors:
                for tap in taps.values():
                    tap.queue.put((name, tensor))
            is_whole = True
        finally:
            for tap in taps.values():
                tap.queue.put("whole" if is_whole else "broken off")
    faults: dict[int, SpecError] = {}
    for number, load in loads.items():
        try:
            load.result()
        except SpecError as fault:
            faults[number] = fault
    return faults


class _Tap:
    """Weights on their way to one engine."""

    def __init__(self) -> None:
        self.queue = Queue[tuple[str, "Tensor"] | Literal["whole", "broken off"]](_MOST_AHEAD)
        self._is_over = False

    def feed(self, engine: RolloutEngine, *, version: int) -> None:
        try:
            engine.load_weights(self._tensors(), version=version)
        finally:
            # An engine that fails reads no more, and the others go on.
            while not self._is_over:
                self._is_over = isinstance(self.queue.get(), str)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        while not self._is_over:
            item = self.queue.get()
            if not isinstance(item, str):
                yield item
                continue
            self._is_over = True
            if item == "broken off":
                raise InternalError("the weights were not all read")
