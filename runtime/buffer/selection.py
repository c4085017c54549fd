"""The selector of a buffer, found and loaded: one of the standard library, or the experiment's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Never

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import Off
from compiler.ir.rollout import Buffer
from runtime.buffer.rollout_buffer import Selector
from runtime.custom_function import CHOICE, CustomFunction
from stdlib.selectors._waiting import Waiting


def load_selector(buffer: Buffer[Never], *, root: Path) -> Selector:
    """Return what takes groups out of a buffer.

    Raises: SpecError RLC0610 or RLC0611 if a function of the experiment's own cannot be loaded.
    """
    if not isinstance(buffer.code, Off):
        function = CustomFunction(buffer.code, root=root, field="rollout.buffer.selector", duty=CHOICE)
        return _Custom(function, timeout_s=buffer.timeout_s).select
    module = import_module(f"stdlib.selectors.{buffer.selector}")
    return partial(module.select, stratum_key=buffer.stratum_key) if buffer.selector == "stratified" else module.select


class _Custom:
    def __init__(self, function: CustomFunction, *, timeout_s: float) -> None:
        self._function, self._timeout_s = function, timeout_s

    def select(self, waiting: Sequence[Waiting], count: int) -> list[int]:
        """Return places.  Raises: SpecError RLC0664 for what are no places or was raised, RLC0648 if it is late."""
        found = self._function.within(self._timeout_s, tuple(waiting), count)
        fault = _fault(found, len(waiting), count)
        if fault:
            raise SpecError(self._function.fault(f"returned {fault}"))
        return list(found)


def _fault(found: Any, num_waiting: int, count: int) -> str:
    if not isinstance(found, (list, tuple)):
        return f"{type(found).__name__}, not a list of places"
    if len(found) > count:
        return f"{len(found)} places where {count} are asked for"
    seen: set[int] = set()
    for place in found:
        if type(place) is not int or not 0 <= place < num_waiting:
            return f"{place!r}, and the places of {num_waiting} groups are 0 to {num_waiting - 1}"
        if place in seen:
            return f"place {place} twice"
        seen.add(place)
    return ""
