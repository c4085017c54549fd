"""The values of Starlark: Python's own where both languages agree, and the mutable ones, which can be frozen.

None, bool, int, float, str (a string of code points), bytes, tuple and range are Python's; types are told apart by
exact type, so that True is not 1.  List, dict and set are classes of their own: they are locked while something
iterates over them, and frozen when their file is loaded.  A dict remembers where its entries were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import is_
from typing import TYPE_CHECKING, Final, cast

from compiler.frontend.starlark.budget import VALUE, Budget
from compiler.frontend.starlark.errors import STEPS, BudgetError, StarlarkError

if TYPE_CHECKING:
    from compiler.frontend.starlark.origins import Written
    from compiler.frontend.starlark.thread import Thread

# Python walks through all parts of a tuple whenever it looks one up, and through all characters of a text.
_LARGEST_KEY, _LONGEST_KEY = 100, 4096
# Larger integers do not stand for themselves: those that differ by a multiple of 2^61 - 1 have one hash.
_SMALL_INT = 2**31
_INFINITY = float("inf")
# A table is made anew when it has so many more holes than entries: Python goes through all of them.
_MOST_HOLES = 16

Implementation = Callable[["Thread", list[object], dict[str, object]], object]


class _Key:
    """What stands for a value in a table where Python would take it for another."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_TRUE, _FALSE, _NAN = _Key("True"), _Key("False"), _Key("nan")
_INT, _LIST, _DICT, _SET = _Key("int"), _Key("list"), _Key("dict"), _Key("set")


class Mutable:
    """What lists, dicts and sets share: they may be frozen, and are locked while they are iterated over."""

    __slots__ = ("frozen", "iterators")

    kind = ""

    def __init__(self) -> None:
        self.frozen = False
        self.iterators = 0

    def check(self, doing: str) -> None:
        """Refuse a mutation where there may be none.  Raises: StarlarkError."""
        if self.frozen:
            raise StarlarkError(f"cannot {doing} frozen {self.kind}")
        if self.iterators:
            raise StarlarkError(
                f"cannot {doing} {self.kind} during iteration: it is temporarily immutable "
                "(cannot mutate an iterable while iterating)"
            )


class StarlarkList(Mutable):
    """A list; `items` is its content."""

    __slots__ = ("items",)

    kind = "list"

    def __init__(self, items: Iterable[object] = ()) -> None:
        super().__init__()
        self.items = list(items)


class StarlarkDict(Mutable):
    """A dict in the order of insertion.

    `entries` maps what stands for a key to its value; `originals` holds the keys that something else stands for.
    `origins` are the places of string keys whose place is known; `holes` counts what was removed since `entries` was
    made.
    """

    __slots__ = ("entries", "holes", "originals", "origins")

    kind = "dict"

    def __init__(self) -> None:
        super().__init__()
        self.holes = 0
        self.entries: dict[object, object] = {}
        self.originals: dict[object, object] = {}
        self.origins: dict[str, Written] | None = None

    def write(self, key: object, value: object, written: Written | None = None) -> None:
        """Set an entry, without a look at locks.  Raises: StarlarkError for a key that cannot be one."""
        if type(key) is str:
            if len(key) > _LONGEST_KEY:
                raise _too_large(key)
            self.entries[key] = value
            if written is not None:
                if self.origins is None:
                    self.origins = {}
                self.origins[key] = written
            elif self.origins is not None:
                self.origins.pop(key, None)
            return
        at = hash_key(key)
        if at not in self.entries and at is not key:
            self.originals[at] = key
        self.entries[at] = value

    def remove(self, at: object) -> object:
        """Remove the entry of what stands for a key, and return its value."""
        self.originals.pop(at, None)
        if self.origins is not None and type(at) is str:
            self.origins.pop(at, None)
        value = self.entries.pop(at)
        self.holes += 1
        if self.holes > len(self.entries) + _MOST_HOLES:
            self.entries, self.holes = dict(self.entries), 0
        return value

    def keys(self) -> list[object]:
        """Return the keys in order."""
        if not self.originals:
            return list(self.entries)
        return [self.originals.get(at, at) for at in self.entries]

    def items(self) -> list[tuple[object, object]]:
        """Return keys and values in order."""
        return list(zip(self.keys(), self.entries.values(), strict=True))

    def absorb(self, other: StarlarkDict) -> None:
        """Take over the entries of another dict, and where they were written."""
        self.entries.update(other.entries)
        self.originals.update(other.originals)
        if self.origins is not None:
            for key in other.entries:
                if type(key) is str:
                    self.origins.pop(key, None)
        if other.origins:
            self.origins = {**(self.origins or {}), **other.origins}

    def copy(self) -> StarlarkDict:
        """Return a dict of the same entries that is neither frozen nor locked."""
        made = StarlarkDict()
        made.absorb(self)
        return made


class StarlarkSet(Mutable):
    """A set in the order of insertion; `entries`, `originals` and `holes` are as in a dict."""

    __slots__ = ("entries", "holes", "originals")

    kind = "set"

    def __init__(self, items: Iterable[object] = ()) -> None:
        super().__init__()
        self.holes = 0
        self.entries: dict[object, None] = {}
        self.originals: dict[object, object] = {}
        for item in items:
            self.add(item)

    def add(self, item: object) -> None:
        """Add an element.  Raises: StarlarkError for a value that cannot be one."""
        at = hash_key(item)
        if at not in self.entries:
            if at is not item:
                self.originals[at] = item
            self.entries[at] = None

    def remove(self, at: object) -> None:
        """Remove what stands for an element."""
        self.originals.pop(at, None)
        del self.entries[at]
        self.holes += 1
        if self.holes > len(self.entries) + _MOST_HOLES:
            self.entries, self.holes = dict(self.entries), 0

    def absorb(self, other: StarlarkSet) -> None:
        """Add the elements of another set that are not here yet."""
        if other.originals:
            self.originals.update((at, item) for at, item in other.originals.items() if at not in self.entries)
        self.entries.update(other.entries)

    def joined(self, other: StarlarkSet) -> StarlarkSet:
        """Return the elements of both, those of this one first."""
        made = StarlarkSet()
        made.absorb(self)
        made.absorb(other)
        return made

    def common(self, other: StarlarkSet, *, is_in: bool) -> StarlarkSet:
        """Return the elements that are in another set too, or those that are not."""
        made = StarlarkSet()
        made.entries = {at: None for at in self.entries if (at in other.entries) is is_in}
        made.originals = {at: item for at, item in self.originals.items() if at in made.entries}
        return made

    def elements(self) -> list[object]:
        """Return the elements in order."""
        if not self.originals:
            return list(self.entries)
        return [self.originals.get(at, at) for at in self.entries]


class Elements:
    """The parts of a string or a bytes, to be iterated over: strings of one code point, or integers."""

    __slots__ = ("method", "of")

    def __init__(self, of: str | bytes, method: str = "elems") -> None:
        self.of = of
        self.method = method

    @property
    def starlark_type(self) -> str:
        """What `type(x)` says."""
        return f"{type_name(self.of)}.{self.method}"


class Builtin:
    """A function that the language brings, or a method bound to its value."""

    __slots__ = ("implementation", "name", "owner")

    def __init__(self, name: str, implementation: Implementation, owner: object = None) -> None:
        self.name = name
        self.implementation = implementation
        self.owner = owner


TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "NoneType",
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    bytes: "bytes",
    tuple: "tuple",
    range: "range",
    StarlarkList: "list",
    StarlarkDict: "dict",
    StarlarkSet: "set",
    Builtin: "builtin_function_or_method",
}


def type_name(value: object) -> str:
    """Return what `type(value)` says."""
    known = TYPE_NAMES.get(type(value))
    if known is not None:
        return known
    return str(getattr(value, "starlark_type", "function"))


def hash_key(value: object, depth: int = 0) -> object:
    """Return what stands for a value in a dict or a set.  Raises: StarlarkError if it is unhashable, BudgetError."""
    kind = type(value)
    if kind is str or kind is bytes:
        if len(cast("str | bytes", value)) > _LONGEST_KEY:
            raise _too_large(value)
        return value
    if kind is int:
        return value if -_SMALL_INT < cast("int", value) < _SMALL_INT else _large(cast("int", value))
    if value is None:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is float:
        return _float_key(cast("float", value))
    if kind is tuple and _is_plain(cast("tuple[object, ...]", value)):
        return value
    if depth == 0 and _size(value, 0) > _LARGEST_KEY:
        raise _too_large(value)
    if isinstance(value, tuple):
        inner = tuple([hash_key(item, depth + 1) for item in value])
        # Only a tuple that holds what something else stands for needs a stand-in itself.
        return value if all(map(is_, inner, value)) else inner
    if isinstance(value, Mutable) and value.frozen:
        return _frozen_key(value, depth + 1)
    if isinstance(value, (Mutable, range, Elements)):
        raise StarlarkError(f"unhashable type: {type_name(value)} (not hashable, so it cannot be a key)")
    return value


def _large(value: int) -> object:
    """What stands for a large integer: a text, whose hash nobody can foresee."""
    return _INT, hex(value)


def _float_key(value: float) -> object:
    if value != value:
        return _NAN
    is_large = abs(value) >= _SMALL_INT and value not in (_INFINITY, -_INFINITY)
    return _large(int(value)) if is_large and value.is_integer() else value


def _is_plain(value: tuple[object, ...]) -> bool:
    """Whether a tuple holds only what stands for itself: None, small integers and short texts."""
    if len(value) > _LARGEST_KEY:
        return False
    for item in value:
        kind = type(item)
        if kind is int:
            if not -_SMALL_INT < cast("int", item) < _SMALL_INT:
                return False
        elif kind is str:
            if len(cast("str", item)) > _LONGEST_KEY:
                return False
        elif item is not None:
            return False
    return True


def _too_large(value: object) -> BudgetError:
    """The error for what would take long to be looked up."""
    if isinstance(value, (str, bytes)):
        return BudgetError(
            STEPS, f"a {type_name(value)} of {len(value):,} elements is no key: at most {_LONGEST_KEY:,}"
        )
    return BudgetError(STEPS, f"a {type_name(value)} of more than {_LARGEST_KEY:,} parts is no key")


def _frozen_key(value: Mutable, depth: int) -> object:
    """What equal values have in common that can change no more; the order of dicts and sets is no part of it."""
    if isinstance(value, StarlarkList):
        return (_LIST, *(hash_key(item, depth) for item in value.items))
    if isinstance(value, StarlarkDict):
        return _DICT, frozenset((at, hash_key(held, depth)) for at, held in value.entries.items())
    assert isinstance(value, StarlarkSet)
    return _SET, frozenset(value.entries)


def _size(value: object, found: int) -> int:
    """Count the parts of a value and of those in them, until there are too many for a key."""
    for item in _parts(value):
        found += 1
        if found > _LARGEST_KEY:
            break
        if isinstance(item, (tuple, Mutable)):
            found = _size(item, found)
    return found


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mutable) or not value.frozen:
        return ()
    if isinstance(value, StarlarkList):
        return value.items
    if isinstance(value, StarlarkDict):
        return value.entries.values()
    assert isinstance(value, StarlarkSet)
    return value.entries


def begin_iteration(value: object) -> Iterator[object]:
    """Return an iterator over a value, which is locked until `end_iteration`.  Raises: StarlarkError if it has none."""
    if isinstance(value, StarlarkList):
        value.iterators += 1
        return iter(value.items)
    if isinstance(value, StarlarkDict):
        value.iterators += 1
        return _originals(value.entries, value.originals)
    if isinstance(value, StarlarkSet):
        value.iterators += 1
        return _originals(value.entries, value.originals)
    if isinstance(value, (tuple, range)):
        return iter(value)
    if isinstance(value, Elements):
        return iter(value.of)
    raise not_iterable(value)


def _originals(entries: Iterable[object], originals: dict[object, object]) -> Iterator[object]:
    if not originals:
        return iter(entries)
    return (originals.get(at, at) for at in entries)


def end_iteration(value: object) -> None:
    """Unlock what `begin_iteration` locked."""
    if isinstance(value, Mutable):
        value.iterators -= 1


def elements_of(value: object, budget: Budget, function: str = "") -> list[object]:
    """Return the elements of an iterable value as a new list.

    Args:
        function: what asks for them, for the message: `sorted: for parameter iterable: `.

    Raises: StarlarkError if the value cannot be iterated over, or BudgetError.
    """
    if isinstance(value, StarlarkList):
        budget.elements(len(value.items))
        return list(value.items)
    if isinstance(value, range):
        budget.elements(size_of_range(value), VALUE)
        return list(value)
    if isinstance(value, tuple):
        budget.elements(len(value))
        return list(value)
    if isinstance(value, StarlarkDict):
        budget.elements(len(value.entries))
        return value.keys()
    if isinstance(value, StarlarkSet):
        budget.elements(len(value.entries))
        return value.elements()
    if isinstance(value, Elements):
        budget.elements(len(value.of))
        return list(value.of)
    raise not_iterable(value, function)


def size_of_range(value: range) -> int:
    """Return the length of a range, which may be more than Python's len() can say."""
    if value.step > 0:
        return max(0, (value.stop - value.start + value.step - 1) // value.step)
    return max(0, (value.start - value.stop - value.step - 1) // -value.step)


def not_iterable(value: object, function: str = "") -> StarlarkError:
    """Return the error for a value that cannot be iterated over."""
    name = type_name(value)
    return StarlarkError(
        f"{function}got {name}, want iterable: type '{name}' is not iterable (operation not supported)"
    )
