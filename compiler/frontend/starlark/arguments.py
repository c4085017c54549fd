"""The arguments of built-in functions: which parameter each one is for, and whether it is of the right type."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.values import type_name


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()


class Signature:
    """The parameters of a built-in, as `Signature("find", "sub", "start?", "end?")`.

    A `?` ends the name of one that may be left out; those before `/` are given by position only, as the language has
    it for all but a few, whose names are no more than documentation.
    """

    __slots__ = ("name", "names", "num_positional_only", "num_required")

    def __init__(self, name: str, *parameters: str) -> None:
        self.name = name
        listed = [p for p in parameters if p != "/"]
        self.names = tuple(p.rstrip("?") for p in listed)
        self.num_required = sum(not p.endswith("?") for p in listed)
        self.num_positional_only = parameters.index("/") if "/" in parameters else 0

    def bind(self, args: Sequence[object], kwargs: dict[str, object]) -> list[object]:
        """Return a value for each parameter, MISSING for those left out.  Raises: StarlarkError."""
        names = self.names
        if len(args) > len(names):
            most = f"at most {len(names)}" if names else "no"
            raise StarlarkError(
                f"{self.name}: got {len(args)} arguments, want {most}: too many positional arguments "
                "(parameters mismatch)"
            )
        values = [*args, *([MISSING] * (len(names) - len(args)))]
        for key, value in kwargs.items():
            if key not in names[self.num_positional_only :]:
                raise StarlarkError(self._unexpected(key))
            at = names.index(key)
            if values[at] is not MISSING:
                raise StarlarkError(f"{self.name}: got multiple values for keyword argument `{key}`")
            values[at] = value
        for at in range(self.num_required):
            if values[at] is MISSING:
                raise StarlarkError(
                    f"{self.name}: missing argument for {names[at]}: missing 1 required positional argument "
                    "(not enough parameters, parameters mismatch)"
                )
        return values

    def _unexpected(self, key: str) -> str:
        near = nearest_names(key, self.names[self.num_positional_only :])
        advice = f" (did you mean {near[0]}?)" if near else ""
        if key in self.names[: self.num_positional_only]:
            advice = f" (give {key} by its position, without its name)"
        return f"{self.name}: got an unexpected keyword argument `{key}`: unexpected keyword arguments{advice}"


signature = cache(Signature)


def wants_text(function: str, parameter: str, value: object) -> str:
    """Return a string argument.  Raises: StarlarkError for another type."""
    if isinstance(value, str):
        return value
    raise wrong_type(function, parameter, value, "string")


def wants_int(function: str, parameter: str, value: object) -> int:
    """Return an int argument.  Raises: StarlarkError for another type."""
    if type(value) is int:
        return value
    raise wrong_type(function, parameter, value, "int")


def wants_bool(function: str, parameter: str, value: object) -> bool:
    """Return a bool argument; a number or a list does not do.  Raises: StarlarkError for another type."""
    if type(value) is bool:
        return value
    raise wrong_type(function, parameter, value, "bool")


def wrong_type(function: str, parameter: str, value: object, wanted: str) -> StarlarkError:
    """Return the error for an argument of another type."""
    return StarlarkError(
        f"{function}: for parameter {parameter}: got {type_name(value)}, want {wanted} "
        f"(expected {wanted}, type of parameter '{parameter}' doesn't match): {shown(value)}"
    )
