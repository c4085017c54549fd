"""Fields by path: `stages.0.train.global_batch`, read and replaced in immutable records.

How a person writes them, with stages by name, is `shown_path` of `subject.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compiler.diagnostics.annotations import TypeVar
from compiler.ir.openness import Auto, Off
from compiler.ir.record import Field, Record

R = TypeVar("R", bound=Record)
Leaves = tuple[tuple[str, object], ...]

_PLAIN = frozenset((str, int, float, bool, Off, Auto))  # the most frequent ones, told apart at once


def read(record: object, path: str) -> object:
    """Return the value at a path.  Raises: KeyError if there is no such field."""
    at: object = record
    for part in path.split("."):
        at = _child(at, part)
    return at


def replaced(record: R, path: str, value: object) -> R:
    """Return a copy of the record with the value at a path changed.  Raises: KeyError if there is no such field."""
    head, _, rest = path.partition(".")
    if not isinstance(record, Record):
        raise KeyError(path)
    holder = _spread_holder(record, head)
    if holder:
        return record.replacing(**{holder: replaced(record.__dict__[holder], path, value)})
    if head not in record.__dict__:
        raise KeyError(path)
    child = record.__dict__[head]
    if not rest:
        return record.replacing(**{head: value})
    if isinstance(child, tuple):
        index, _, inner = rest.partition(".")
        new = value if not inner else replaced(child[int(index)], inner, value)
        return record.replacing(**{head: (*child[: int(index)], new, *child[int(index) + 1 :])})
    return record.replacing(**{head: replaced(child, rest, value)})


def fields_on_the_way(record: Record, path: str) -> Iterator[Field]:
    """Yield the field of each step.  Raises: KeyError without such a field, IndexError without such an element."""
    at: object = record
    for part in path.split("."):
        if isinstance(at, tuple) and part.isdigit() and int(part) >= len(at):
            raise IndexError(path)
        if isinstance(at, Record):
            holder = _spread_holder(at, part)
            fields = type(at.__dict__[holder] if holder else at).fields()
            if part not in fields:
                raise KeyError(path)
            yield fields[part]
        at = _child(at, part)


def _last_kept(compute: Callable[[Record], Leaves]) -> Callable[[Record], Leaves]:
    """Return the same, which keeps its last answer: several rules ask for the leaves of one experiment."""
    kept: list[tuple[Record, Leaves]] = []

    def answer(record: Record) -> Leaves:
        if not kept or kept[0][0] is not record:
            kept[:] = [(record, compute(record))]
        return kept[0][1]

    return answer


@_last_kept
def leaves(record: Record) -> Leaves:
    """Return every leaf with its path, in declared order; a tuple of plain values is one leaf."""
    found: list[tuple[str, object]] = []
    _add_leaves(record, "", found)
    return tuple(found)


def _add_leaves(record: Record, prefix: str, found: list[tuple[str, object]]) -> None:
    """Add the leaves of a record; a prefix ends in its dot."""
    values = record.__dict__
    for name, field in type(record).fields().items():
        value = values[name]
        if value.__class__ in _PLAIN:
            found.append((prefix + name, value))
        elif isinstance(value, Record):
            _add_leaves(value, prefix if field.spread else f"{prefix}{name}.", found)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            for index, item in enumerate(value):
                _add_leaves(item, f"{prefix}{name}.{index}.", found)
        else:
            found.append((prefix + name, value))


def _child(at: object, part: str) -> object:
    if isinstance(at, Record):
        values = at.__dict__
        if part in values:
            return values[part]
        holder = _spread_holder(at, part)
        if holder:
            return values[holder].__dict__[part]
    elif isinstance(at, tuple) and part.isdigit() and int(part) < len(at):
        return at[int(part)]
    raise KeyError(part)


def _spread_holder(record: Record, part: str) -> str:
    for name in record.spread_fields:
        if part in record.__dict__[name].__dict__:
            return name
    return ""
