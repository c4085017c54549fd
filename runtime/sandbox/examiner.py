"""The tests of a program, run in a process that never runs a line of it.

What the program has defined appears here under its names, as stand-ins: a call goes to the program's process and its
result comes back as plain data (wire.py), so that `assert f(x) == y` compares here, with Python's own `==`, and `y`
never leaves this process.  Neither what the program does to builtins, nor what it prints, nor how it ends can pass a
test: passing is told by this process alone, after the last statement of the tests.

What stays a stand-in, an object of a class of the program's own, equals nothing but what the program says it equals
among its own objects, and takes part in no arithmetic with the tests' numbers.  Only names that the tests use and do
not define come from the program: a builtin only where it is the one thing that the tests are about, and a module of the
standard library, or one of its functions, is this process's own.  A helper that tests use and only the response can
define is its word, as it would be anywhere.
"""

from __future__ import annotations

import ast
import builtins
import importlib
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from runtime.sandbox.wire import Caught, Lines, WireError, decoded, encoded

_COMPUTING = [
    "math",
    "cmath",
    "collections",
    "itertools",
    "functools",
    "re",
    "random",
    "string",
    "operator",
    "datetime",
    "fractions",
    "decimal",
    "statistics",
    "heapq",
    "bisect",
    "typing",
    "copy",
    "json",
    "time",
    "calendar",
    "numbers",
    "array",
    "sys",
    "os",
    "abc",
    "enum",
    "dataclasses",
]


def examine(checks: str, lines: Lines, stop: Callable[[str], NoReturn]) -> None:
    """Run tests on a program.

    Args:
        stop: ends this process; with words where the tests need what cannot cross, with none where the program is gone.

    Raises: whatever the tests do.
    """
    module = ModuleType("__main__")
    tree = ast.parse(checks, "tests.py")
    Examiner(lines, stop).define(module, asked_names(tree), used_modules(tree))
    exec(compile(tree, "tests.py", "exec"), module.__dict__)


def asked_names(tree: ast.Module) -> list[str]:
    """Return the names that tests use and the program has to define."""
    used, bound = set[str](), set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=other):
                bound.add(other or name.partition(".")[0])
            case _:
                pass
    free = {name for name in used - bound if name[:2] != "__"}
    own = {name for name in free if not hasattr(builtins, name)}
    return sorted(own or (free if len(free) == 1 else ()))


def used_modules(tree: ast.Module) -> set[str]:
    """Return the names that tests take a part of, and that are modules which only compute."""
    parts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {part.id for part in parts if isinstance(part, ast.Name) and part.id in _COMPUTING}


class Examiner:
    """The program as the tests see it."""

    def __init__(self, lines: Lines, stop: Callable[[str], NoReturn]) -> None:
        self._lines, self._stop = lines, stop
        self._seen: dict[int, StandIn] = {}
        self._handed: list[Any] = []
        self._errors: dict[str, type[Exception]] = {}

    def define(self, module: ModuleType, names: list[str], modules: set[str]) -> None:
        """Put what the program has defined under its names."""
        self._send(names)
        told = self._receive()
        if not isinstance(told, dict):
            self._stop("")
        for name in names:
            if name in modules and name in told:
                setattr(module, name, importlib.import_module(name))
            elif name in told:
                self._define(module, name, told[name])

    def ask(self, what: str, values: tuple[Any, ...], named: dict[str, object]) -> Any:
        """Have the program do something, and return what came of it.  Raises: what the program raised."""
        given = [self._given(one) for one in values]
        self._send([what, given, {name: self._given(one) for name, one in named.items()}])
        while True:
            match self._receive():
                case ["ok", result, dict(changed)]:
                    for index, new in changed.items():
                        self._refill(values, index, new)
                    return self._value(result)
                case ["error", list(kinds), str(text)]:
                    self._raise(kinds, text, is_next=what == "next")
                case ["call", int(which), list(arguments), dict(others)] if 0 <= which < len(self._handed):
                    self._called(which, arguments, others)
                case _:
                    self._stop("")

    def _refill(self, values: tuple[Any, ...], index: str, new: object) -> None:
        is_one = index.isdecimal() and int(index) < len(values)
        if not is_one or not _is_refilled(values[int(index)], self._value(new)):
            self._stop("")

    def _called(self, which: int, arguments: list[Any], others: dict[str, Any]) -> None:
        answer: list[object] = []
        with Caught() as caught:
            given = [self._value(one) for one in arguments]
            result = self._handed[which](*given, **{name: self._value(one) for name, one in others.items()})
            answer = ["returned", self._given(result)]
        if caught.error is not None:
            answer = ["raised", type(caught.error).__name__, str(caught.error)]
        self._send(answer)

    def _define(self, module: ModuleType, name: str, value: Any) -> None:
        match value:
            case ["module", str(origin)]:
                if origin in _COMPUTING:
                    setattr(module, name, importlib.import_module(origin))
            case ["exception", list(kinds)]:
                base = next((_builtin_error(kind) for kind in kinds if _builtin_error(kind)), Exception)
                self._errors[name] = type(name, (base or Exception,), {})
                setattr(module, name, self._errors[name])
            case ["from", str(origin), str(own), reference]:
                known = getattr(importlib.import_module(origin), own, None) if origin in _COMPUTING else None
                setattr(module, name, self._value(reference) if known is None or own != name else known)
            case ["nothing", _]:
                pass
            case _:
                setattr(module, name, self._value(value))

    def _raise(self, kinds: list[Any], text: str, *, is_next: bool) -> NoReturn:
        for kind in kinds:
            found = self._errors.get(str(kind)) or _builtin_error(str(kind))
            # A StopIteration would end a loop of the tests early, and its other rounds would never be tried.
            if found is not None and (is_next or not issubclass(found, StopIteration | StopAsyncIteration)):
                raise found(text) if not issubclass(found, UnicodeError) else ValueError(text)
        raise RuntimeError(text)

    def _given(self, value: object) -> object:
        return encoded(value, self._reference)

    def _reference(self, value: object) -> object:
        if isinstance(value, StandIn):
            return ["object", object.__getattribute__(value, "_which")]
        if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
            return ["builtin", value.__name__]
        if not callable(value):
            self._stop(
                f"the tests hand over an object of class {type(value).__name__}, which cannot leave their process"
            )
        self._handed.append(value)
        return ["callback", len(self._handed) - 1]

    def _value(self, told: object) -> Any:
        try:
            return decoded(told, self._resolved)
        except WireError:
            self._stop("")

    def _resolved(self, reference: list[Any]) -> object:
        match reference:
            case ["builtin", str(name)] if isinstance(getattr(builtins, name, None), type):
                return getattr(builtins, name)
            case ["object", int(which)]:
                if which not in self._seen:
                    self._seen[which] = StandIn(self, which)
                return self._seen[which]
            case _:
                raise WireError

    def _receive(self) -> Any:
        try:
            return self._lines.receive()
        except (OSError, WireError):
            self._stop("")

    def _send(self, message: object) -> None:
        try:
            self._lines.send(message)
        except OSError:
            self._stop("")


class StandIn:
    """An object of the program: its parts are asked for, and what they are comes as plain data where it is."""

    def __init__(self, examiner: Examiner, which: int) -> None:
        object.__setattr__(self, "_examiner", examiner)
        object.__setattr__(self, "_which", which)

    def __call__(self, *values: object, **named: object) -> Any:
        return _ask(self, "call", *values, **named)

    def __getattr__(self, name: str) -> Any:
        return _ask(self, "getattr", name)

    def __setattr__(self, name: str, value: object) -> None:
        _ask(self, "setattr", name, value)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, StandIn) and _ask(instance, "isinstance", self) is True

    def __subclasscheck__(self, subclass: object) -> bool:
        return isinstance(subclass, StandIn) and _ask(subclass, "issubclass", self) is True

    def __getitem__(self, key: object) -> Any:
        return _ask(self, "getitem", key)

    def __setitem__(self, key: object, value: object) -> None:
        _ask(self, "setitem", key, value)

    def __delitem__(self, key: object) -> None:
        _ask(self, "delitem", key)

    def __len__(self) -> int:
        return int(_ask(self, "len"))

    def __iter__(self) -> Any:
        found = _ask(self, "iter")
        return found if isinstance(found, StandIn) else iter(found)

    def __next__(self) -> Any:
        return _ask(self, "next")

    def __bool__(self) -> bool:
        return _ask(self, "bool") is True

    def __str__(self) -> str:
        return str(_ask(self, "str"))

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, StandIn) and _ask(self, "eq", other) is True)

    def __lt__(self, other: object) -> Any:
        return _among(self, "lt", other)

    def __le__(self, other: object) -> Any:
        return _among(self, "le", other)

    def __gt__(self, other: object) -> Any:
        return _among(self, "gt", other)

    def __ge__(self, other: object) -> Any:
        return _among(self, "ge", other)

    def __add__(self, other: object) -> Any:
        return _among(self, "add", other)

    def __sub__(self, other: object) -> Any:
        return _among(self, "sub", other)

    def __mul__(self, other: object) -> Any:
        return _among(self, "mul", other)


def _ask(of: StandIn, what: str, *values: object, **named: object) -> Any:
    examiner: Examiner = object.__getattribute__(of, "_examiner")
    return examiner.ask(what, (of, *values), named)


def _among(one: StandIn, what: str, other: object) -> Any:
    return _ask(one, what, other) if isinstance(other, StandIn) else NotImplemented


def _builtin_error(name: str) -> type[Exception] | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _is_refilled(old: Any, new: Any) -> bool:
    """Give a container of the tests the content that the program has left it, and return whether it is one."""
    if type(new) is not type(old):
        return False
    if type(old) in (list, bytearray):
        old[:] = new
    elif type(old) in (dict, set):
        old.clear()
        old.update(new)
    elif type(old) is deque:
        old.clear()
        old.extend(new)
    else:
        return False
    return True
