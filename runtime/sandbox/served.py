"""The program's side of a test: it does what the tests, in another process, ask of what the program has defined.

All of this runs in the program's own process and may be changed by it; so nothing here decides anything.  The tests see
results as plain data, and what was expected never comes here.
"""

from __future__ import annotations

import builtins
import operator
from collections import deque
from types import ModuleType
from typing import Any

from runtime.sandbox.wire import Caught, Lines, decoded, encoded

_CHANGED = (list, dict, set, bytearray, deque)


class Served:
    """What a program has defined, by number."""

    def __init__(self, module: ModuleType, lines: Lines) -> None:
        self._module, self._lines = module, lines
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        """Tell what is asked for by name, then do what is asked until nobody asks any more."""
        there = vars(self._module)
        self._lines.send({name: self._named(there[name]) for name in self._lines.receive() if name in there})
        while True:
            what, values, named = self._lines.receive()
            self._lines.send(self._done(what, values, named))

    def _done(self, what: str, values: list[Any], named: dict[str, Any]) -> object:
        with Caught() as caught:
            given = [decoded(one, self._found) for one in values]
            before = [encoded(one, self._number) if isinstance(one, _CHANGED) else None for one in given]
            result = _ASKED[what](*given, **{name: decoded(one, self._found) for name, one in named.items()})
            told = encoded(result, self._number)
            after = [encoded(one, self._number) if isinstance(one, _CHANGED) else None for one in given]
            return ["ok", told, {i: new for i, new in enumerate(after) if new != before[i]}]
        return ["error", [kind.__name__ for kind in type(caught.error).__mro__], str(caught.error)]

    def _named(self, value: object) -> object:
        if isinstance(value, ModuleType):
            return ["module", value.__name__]
        if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == "__main__":
            return ["exception", [kind.__name__ for kind in value.__mro__]]
        module = getattr(value, "__module__", None)
        if module not in (None, "__main__") and isinstance(getattr(value, "__name__", None), str):
            return ["from", str(module), str(getattr(value, "__name__", "")), self._number(value)]
        with Caught():
            return encoded(value, self._number)
        return ["nothing", ""]

    def _number(self, value: object) -> object:
        if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
            return ["builtin", value.__name__]
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return ["object", self._numbers[id(value)]]

    def _found(self, reference: list[Any]) -> object:
        kind, which = reference
        if kind == "callback":
            return _Callback(self, which)
        return getattr(builtins, which) if kind == "builtin" else self._objects[which]

    def ask(self, which: int, values: tuple[object, ...], named: dict[str, object]) -> object:
        """Call a function of the tests, and meanwhile do what it asks."""
        given = [encoded(one, self._number) for one in values]
        self._lines.send(["call", which, given, {name: encoded(one, self._number) for name, one in named.items()}])
        while True:
            what, *rest = self._lines.receive()
            if what == "returned":
                return decoded(rest[0], self._found)
            if what == "raised":
                raise getattr(builtins, rest[0], Exception)(rest[1])
            self._lines.send(self._done(what, *rest))


class _Callback:
    """A function of the tests that was handed over as an argument."""

    def __init__(self, served: Served, which: int) -> None:
        self._served, self._which = served, which

    def __call__(self, *values: object, **named: object) -> object:
        return self._served.ask(self._which, values, named)


# What tests may ask for, by name.
_ASKED: dict[str, Any] = {
    "call": lambda called, *values, **named: called(*values, **named),
    "getattr": getattr,
    "setattr": setattr,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "eq": operator.eq,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}
