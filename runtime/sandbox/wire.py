"""Values between a program and its tests, which run in two processes: data alone crosses, as lines of JSON.

Numbers, texts, bytes and the containers of Python cross by value, whatever class a program derives from them: a list
whose `==` always says yes arrives as a plain list.  Everything else crosses as a number that its owner resolves.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

_EXACT = 1 << 53
_MANY: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque, "range": range}


class WireError(Exception):
    """A line that is not one, or the end of the other side."""


class Caught:
    """A block whose exception is an answer, to be told to the other side; exits of the process pass through."""

    error: Exception | None = None

    def __enter__(self) -> Caught:
        """Begin the block."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        """Keep an exception."""
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


class Lines:
    """Messages over two pipes; what arrives is at most `most` bytes a line, 0 for no bound."""

    def __init__(self, read_fd: int, write_fd: int, *, most: int) -> None:
        self._file, self._out, self._most = os.fdopen(read_fd, "rb", closefd=False), write_fd, most

    def send(self, message: object) -> None:
        """Write one message."""
        left = memoryview(json.dumps(message).encode() + b"\n")
        while left:
            left = left[os.write(self._out, left) :]

    def receive(self) -> Any:
        """Return the next message.  Raises: WireError if there is none."""
        line = self._file.readline(self._most or -1)
        try:
            return json.loads(line) if line.endswith(b"\n") else _fail()
        except (ValueError, RecursionError):
            _fail()


def encoded(value: object, other: Callable[[object], object]) -> object:
    """Return a value as JSON; `other` turns what is not plain data into a reference."""
    if value is None or isinstance(value, bool | float):
        return value if value is None or isinstance(value, bool) else float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if -_EXACT < value < _EXACT else ["int", hex(value)]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, bytes | bytearray):
        return ["bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex()]
    if isinstance(value, list):
        return ["list", [encoded(one, other) for one in list.__iter__(value)]]
    if isinstance(value, dict):
        return ["dict", [[encoded(key, other), encoded(one, other)] for key, one in dict.items(value)]]
    if isinstance(value, range):
        return ["range", [encoded(one, other) for one in (value.start, value.stop, value.step)]]
    for name, kind in _MANY.items():
        if isinstance(value, kind):
            return [name, [encoded(one, other) for one in kind.__iter__(value)]]
    return _number(value) or other(value)


def decoded(value: Any, other: Callable[[list[Any]], object]) -> Any:
    """Return the value of a JSON text; `other` resolves references.  Raises: WireError for what is no such text."""
    if not isinstance(value, list):
        return _fail() if isinstance(value, dict) else value
    try:
        return _decoded(value, other)
    except (ValueError, TypeError, IndexError, KeyError, ArithmeticError, RecursionError):
        _fail()


def _decoded(value: list[Any], other: Callable[[list[Any]], object]) -> Any:
    name, first = value[0], value[1]
    if name == "int":
        return int(first, 16)
    if name == "complex":
        return complex(float(first), float(value[2]))
    if name in ("bytes", "bytearray"):
        return bytes.fromhex(first) if name == "bytes" else bytearray.fromhex(first)
    if name == "list":
        return [decoded(one, other) for one in first]
    if name == "dict":
        return {decoded(key, other): decoded(one, other) for key, one in first}
    if name == "range":
        return range(*[decoded(one, other) for one in first])
    if name in _MANY:
        return _MANY[name](decoded(one, other) for one in first)
    if name in ("Fraction", "Decimal"):
        return _of_library(name)(*[decoded(one, other) for one in value[1:]])
    if name in ("date", "datetime"):
        return _of_library(name).fromisoformat(first)
    if name == "timedelta":
        return _of_library(name)(*[int(one) for one in value[1:]])
    return other(value)


def _number(value: object) -> object:
    """A number or a time of the standard library as JSON, or None; its modules are loaded only where it is used."""
    for name, module in _LIBRARY.items():
        kind = getattr(sys.modules.get(module), name, None)
        if not isinstance(kind, type) or not isinstance(value, kind):
            continue
        one: Any = value
        if name == "Fraction":
            return [name, encoded(int(one.numerator), _none), encoded(int(one.denominator), _none)]
        if name == "timedelta":
            return [name, one.days, one.seconds, one.microseconds]
        return [name, str(one) if name == "Decimal" else one.isoformat()]
    return None


# A datetime is a date, too: the order matters.
_LIBRARY = {
    "Fraction": "fractions",
    "Decimal": "decimal",
    "datetime": "datetime",
    "date": "datetime",
    "timedelta": "datetime",
}


def _of_library(name: str) -> Any:
    return getattr(__import__(_LIBRARY[name]), name)


def _none(value: object) -> None:
    raise TypeError(value)


def _fail() -> Any:
    raise WireError
