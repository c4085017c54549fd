"""The fields of a JSON object from outside, read by name and type; what is wrong with them is collected.

`null` counts as left out, as in SGLang.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable
from typing import Any, Final

from compiler.diagnostics.diagnostic import Diagnostic
from runtime.engines.rollout.server.refusals import RefusalError, malformed, not_served, unknown_name

# What may stand for a field in a message of its own: more would be noise.
_SHOWN = 60
# What tensors count with.
INTEGER_MAX: Final = (1 << 63) - 1


class Fields:
    """One JSON object.

    Args:
        where: what messages call it.
        known: all names that it may have.

    Raises: RefusalError RLC0720 if it is no object.
    """

    def __init__(self, given: object, where: str, known: Collection[str]) -> None:
        if not isinstance(given, dict):
            raise RefusalError(400, malformed(f"{where} is no JSON object"))
        self._given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._where = where
        self.faults: list[Diagnostic] = [unknown_name(name, where, known) for name in self._given if name not in known]

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def raw(self, name: str) -> Any:
        """Return what stands there, or None."""
        return self._given.get(name)

    def integer(self, name: str, default: int, *, least: int = 0, most: int = INTEGER_MAX) -> int:
        """Return an integer within bounds."""
        value = self._given.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bounds = f"of at least {least}" if most == INTEGER_MAX else f"from {least} to {most:,}"
            return self._wrong(name, value, f"an integer {bounds}", default)
        return value

    def number(self, name: str, default: float, *, low: float, high: float = math.inf) -> float:
        """Return a finite number within bounds."""
        value = self._given.get(name, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # An integer of hundreds of digits is no float, and compares with one all the same.
        if not is_number or not low <= value <= min(high, sys.float_info.max):
            bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            return self._wrong(name, value, f"a number {bounds}", default)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self._given.get(name, default)
        return value if isinstance(value, bool) else self._wrong(name, value, "true or false", default)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        value = self._given.get(name, default)
        return value if isinstance(value, str) else self._wrong(name, value, "a text", default)

    def choice(self, name: str, among: Collection[str], default: str) -> str:
        """Return one of some texts."""
        value = self._given.get(name, default)
        return value if value in among else self._wrong(name, value, f"one of {', '.join(among)}", default)

    def integers(self, name: str) -> list[int]:
        """Return a list of integers, empty if it is left out."""
        value = self._given.get(name, [])
        if not is_integers(value):
            return self._wrong(name, value, "a list of integers", [])
        return value

    def only(self, names: Iterable[str], neutral: Iterable[object], way: str) -> None:
        """Refuse what the engine cannot do: these fields may have a value that asks for nothing, and no other."""
        harmless = [*neutral]
        for name in names:
            if name in self._given and not any(_same(self._given[name], value) for value in harmless):
                self.faults.append(not_served(name, self._given[name], way))

    def wrong(self, name: str, wanted: str) -> None:
        """Note that a field is not what it should be."""
        self._wrong(name, self._given.get(name), wanted, None)

    def close(self) -> None:
        """Raise RefusalError if anything was wrong."""
        if self.faults:
            raise RefusalError(400, *self.faults)

    def _wrong(self, name: str, value: object, wanted: str, instead: Any) -> Any:
        if name not in self._given:
            fact = f"{self._where} lacks {name}, {wanted}"
        else:
            fact = f"{name} of {self._where} is {value!r:.{_SHOWN}}, not {wanted}"
        self.faults.append(malformed(fact))
        return instead


def is_integers(value: object) -> bool:
    """Whether a value is a list of integers."""
    return isinstance(value, list) and all(isinstance(t, int) and not isinstance(t, bool) for t in value)


def _same(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other if isinstance(other, bool) else value == other
