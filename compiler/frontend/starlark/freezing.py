"""Freezing: what a file has defined can change no more once the file has run."""

from __future__ import annotations

from compiler.frontend.starlark.values import Mutable, StarlarkDict, StarlarkList


def freeze(value: object) -> None:
    """Make a value, and all that it holds, immutable."""
    waiting = [value]
    seen: set[int] = set()
    for at in waiting:  # grows while it is read
        if id(at) in seen:
            continue
        seen.add(id(at))
        if isinstance(at, Mutable):
            if at.frozen:
                continue
            at.frozen = True
        waiting += held_by(at)


def held_by(value: object) -> list[object]:
    """Return the values that a value holds, as far as they could be changed."""
    if isinstance(value, StarlarkList):
        return [item for item in value.items if _may_hold(item)]
    if isinstance(value, StarlarkDict):
        return [item for item in value.entries.values() if _may_hold(item)]
    if isinstance(value, tuple):
        return [item for item in value if _may_hold(item)]
    held = getattr(value, "held", None)
    return list(held()) if callable(held) else []


def _may_hold(value: object) -> bool:
    return not (value is None or isinstance(value, (str, int, float, bytes, range)))
