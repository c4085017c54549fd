"""Attributes: the methods of lists, dicts, sets, strings and bytes."""

from __future__ import annotations

from collections.abc import Callable, KeysView
from typing import TYPE_CHECKING, Any, Final

from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.starlark.arguments import MISSING, signature, wants_int
from compiler.frontend.starlark.budget import ENTRY
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.operators import binary, equal, place_of
from compiler.frontend.starlark.strings import STRING_METHODS, bytes_elems
from compiler.frontend.starlark.values import (
    Builtin,
    StarlarkDict,
    StarlarkList,
    StarlarkSet,
    elements_of,
    hash_key,
    type_name,
)

if TYPE_CHECKING:
    from compiler.frontend.starlark.thread import Thread

# The receiver of each method is of the one type that its table is for.
Method = Callable[["Thread", Any, list[object], dict[str, object]], object]


def attribute(value: object, name: str) -> object:
    """Return `value.name`.  Raises: StarlarkError if there is none."""
    found = _find(value, name)
    if found is None:
        near = nearest_names(name, attribute_names(value))
        advice = f" (did you mean .{near[0]}?)" if near else ""
        raise StarlarkError(f"{type_name(value)} has no .{name} field or method: operation not supported{advice}")
    return found


def has_attribute(value: object, name: str) -> bool:
    """Whether there is `value.name`."""
    return _find(value, name) is not None


def attribute_names(value: object) -> list[str]:
    """Return the names of all attributes, sorted."""
    return sorted(_METHODS.get(type(value), ()))


def _find(value: object, name: str) -> Builtin | None:
    methods = _METHODS.get(type(value))
    method = None if methods is None else methods.get(name)
    if method is None:
        return None
    return Builtin(name, lambda thread, args, kwargs: method(thread, value, args, kwargs), value)


def _append(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> None:
    (item,) = signature("append", "x", "/").bind(args, kwargs)
    held.check("append to")
    thread.budget.elements(1)
    held.items.append(item)


def _list_clear(_: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> None:
    signature("clear").bind(args, kwargs)
    held.check("clear")
    held.items.clear()


def _extend(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> None:
    (items,) = signature("extend", "items", "/").bind(args, kwargs)
    held.check("extend")
    held.items += elements_of(items, thread.budget, "extend: for parameter items: ")


def _list_index(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> object:
    wanted, start, end = signature("index", "x", "start?", "end?", "/").bind(args, kwargs)
    bounds = [None if b is MISSING or b is None else wants_int("index", "start", b) for b in (start, end)]
    thread.budget.step(1 + len(held.items) // 2)
    for at in range(*slice(*bounds).indices(len(held.items))):
        if equal(held.items[at], wanted, thread.budget):
            return at
    raise StarlarkError(f"index: value not in list: {shown(wanted)} not found")


def _insert(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> None:
    at, item = signature("insert", "i", "x", "/").bind(args, kwargs)
    held.check("insert into")
    thread.budget.elements(1)
    thread.budget.step(len(held.items) // 1000)
    place = wants_int("insert", "i", at)
    held.items.insert(max(-len(held.items), min(place, len(held.items))), item)


def _list_pop(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> object:
    (at,) = signature("pop", "i?", "/").bind(args, kwargs)
    held.check("pop from")
    thread.budget.step(1 + len(held.items) // 1000)
    return held.items.pop(place_of(held, len(held.items), -1 if at is MISSING else at))


def _list_remove(thread: Thread, held: StarlarkList, args: list[object], kwargs: dict[str, object]) -> None:
    (wanted,) = signature("remove", "x", "/").bind(args, kwargs)
    held.check("remove from")
    thread.budget.step(1 + len(held.items) // 2)
    for at, item in enumerate(held.items):
        if equal(item, wanted, thread.budget):
            del held.items[at]
            return
    raise StarlarkError(f"remove: element {shown(wanted)} not found: item not found in list")


def _dict_clear(_: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> None:
    signature("clear").bind(args, kwargs)
    held.check("clear")
    held.entries.clear()
    held.originals.clear()
    held.origins = None


def _get(_: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    key, default = signature("get", "key", "default?", "/").bind(args, kwargs)
    return held.entries.get(hash_key(key), None if default is MISSING else default)


def _items(thread: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    signature("items").bind(args, kwargs)
    thread.budget.elements(len(held.entries), 64)
    return StarlarkList(held.items())


def _keys(thread: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    signature("keys").bind(args, kwargs)
    thread.budget.elements(len(held.entries))
    return StarlarkList(held.keys())


def _values(thread: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    signature("values").bind(args, kwargs)
    thread.budget.elements(len(held.entries))
    return StarlarkList(held.entries.values())


def _dict_pop(_: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    key, default = signature("pop", "key", "default?", "/").bind(args, kwargs)
    held.check("delete from")
    at = hash_key(key)
    if at in held.entries:
        return held.remove(at)
    if default is MISSING:
        raise StarlarkError(f"pop: missing key: {shown(key)} not found in dict")
    return default


def _popitem(_: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    signature("popitem").bind(args, kwargs)
    held.check("delete from")
    if not held.entries:
        raise StarlarkError("popitem: empty dict: the dictionary is empty")
    at = next(iter(held.entries))
    key = held.originals.get(at, at)
    return key, held.remove(at)


def _setdefault(thread: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> object:
    key, default = signature("setdefault", "key", "default?", "/").bind(args, kwargs)
    held.check("insert into")
    at = hash_key(key)
    if at in held.entries:
        return held.entries[at]
    thread.budget.elements(1, ENTRY)
    value = None if default is MISSING else default
    held.write(key, value)
    return value


def _update(thread: Thread, held: StarlarkDict, args: list[object], kwargs: dict[str, object]) -> None:
    held.check("update")
    fill(thread, "update", held, args, kwargs)


def fill(
    thread: Thread, function: str, held: StarlarkDict, args: list[object], kwargs: dict[str, object]
) -> StarlarkDict:
    """Add the entries that `dict(...)` and `update(...)` are given, and where keywords are written."""
    if len(args) > 1:
        raise StarlarkError(f"{function}: got {len(args)} arguments, want at most 1: too many positional arguments")
    if args and isinstance(args[0], StarlarkDict):
        thread.budget.elements(len(args[0].entries), ENTRY)
        held.absorb(args[0])
    elif args:
        pairs = elements_of(args[0], thread.budget, f"{function}: ")
        thread.budget.elements(len(pairs), ENTRY)
        for at, pair in enumerate(pairs):
            key, value = _pair(thread, function, at, pair)
            held.write(key, value)
    thread.budget.elements(len(kwargs), ENTRY)
    site = thread.site
    for name, value in kwargs.items():
        held.write(name, value, None if site is None else site.written(name, thread.frame))
    return held


def _pair(thread: Thread, function: str, at: int, pair: object) -> tuple[object, object]:
    try:
        found = elements_of(pair, thread.budget)
    except StarlarkError:
        raise StarlarkError(
            f"{function}: dictionary update sequence element #{at} is not iterable ({type_name(pair)}), want a pair"
        ) from None
    if len(found) != 2:
        raise StarlarkError(f"{function}: dictionary update sequence element #{at} has length {len(found)}, want 2")
    return found[0], found[1]


def _set_add(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
    (item,) = signature("add", "x", "/").bind(args, kwargs)
    held.check("insert into")
    thread.budget.elements(1, ENTRY)
    held.add(item)


def _set_clear(_: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
    signature("clear").bind(args, kwargs)
    held.check("clear")
    held.entries.clear()
    held.originals.clear()


def _discard(_: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
    (item,) = signature("discard", "x", "/").bind(args, kwargs)
    held.check("delete from")
    _take(held, item)


def _set_remove(_: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
    (item,) = signature("remove", "x", "/").bind(args, kwargs)
    held.check("delete from")
    if not _take(held, item):
        raise StarlarkError(f"remove: element {shown(item)} not found in set: missing key")


def _set_pop(_: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> object:
    signature("pop").bind(args, kwargs)
    held.check("delete from")
    if not held.entries:
        raise StarlarkError("pop: empty set")
    at = next(iter(held.entries))
    item = held.originals.get(at, at)
    _take(held, item)
    return item


def _take(held: StarlarkSet, item: object) -> bool:
    at = hash_key(item)
    if at not in held.entries:
        return False
    held.remove(at)
    return True


def _set_update(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
    signature("update", *(f"s{i}" for i in range(len(args))), "/").bind(args, kwargs)
    held.check("insert into")
    for other in args:
        held.absorb(_as_set(thread, "update", other))


def _union(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> object:
    signature("union", *(f"s{i}" for i in range(len(args))), "/").bind(args, kwargs)
    thread.budget.elements(len(held.entries), ENTRY)
    made = held.joined(StarlarkSet())
    for other in args:
        made.absorb(_as_set(thread, "union", other))
    return made


def _combining(name: str, op: str, *, many: bool) -> Method:
    def method(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> object:
        signature(name, *(f"s{i}" for i in range(len(args) if many else 1)), "/").bind(args, kwargs)
        made: object = binary("|", held, StarlarkSet(), thread.budget)
        for other in args:
            made = binary(op, made, _as_set(thread, name, other), thread.budget)
        return made

    return method


def _combining_in_place(name: str, op: str) -> Method:
    combine = _combining(name, op, many=True)

    def method(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> None:
        held.check("change")
        made = combine(thread, held, args, kwargs)
        assert isinstance(made, StarlarkSet)
        held.entries, held.originals, held.holes = made.entries, made.originals, 0

    return method


def _judging(name: str, judge: Callable[[KeysView[object], KeysView[object]], bool]) -> Method:
    def method(thread: Thread, held: StarlarkSet, args: list[object], kwargs: dict[str, object]) -> object:
        (other,) = signature(name, "s", "/").bind(args, kwargs)
        thread.budget.elements(len(held.entries))
        return judge(held.entries.keys(), _as_set(thread, name, other).entries.keys())

    return method


def _as_set(thread: Thread, function: str, value: object) -> StarlarkSet:
    """The elements of a value; a set is given as it is, to be read only."""
    if isinstance(value, StarlarkSet):
        thread.budget.elements(len(value.entries), ENTRY)
        return value
    found = elements_of(value, thread.budget, f"{function}: for parameter s: ")
    thread.budget.elements(len(found), ENTRY)
    return StarlarkSet(found)


_LIST: Final[dict[str, Method]] = {
    "append": _append,
    "clear": _list_clear,
    "extend": _extend,
    "index": _list_index,
    "insert": _insert,
    "pop": _list_pop,
    "remove": _list_remove,
}
_DICT: Final[dict[str, Method]] = {
    "clear": _dict_clear,
    "get": _get,
    "items": _items,
    "keys": _keys,
    "pop": _dict_pop,
    "popitem": _popitem,
    "setdefault": _setdefault,
    "update": _update,
    "values": _values,
}
_SET: Final[dict[str, Method]] = {
    "add": _set_add,
    "clear": _set_clear,
    "difference": _combining("difference", "-", many=True),
    "difference_update": _combining_in_place("difference_update", "-"),
    "discard": _discard,
    "intersection": _combining("intersection", "&", many=True),
    "intersection_update": _combining_in_place("intersection_update", "&"),
    "isdisjoint": _judging("isdisjoint", lambda a, b: a.isdisjoint(b)),
    "issubset": _judging("issubset", lambda a, b: a <= b),
    "issuperset": _judging("issuperset", lambda a, b: a >= b),
    "pop": _set_pop,
    "remove": _set_remove,
    "symmetric_difference": _combining("symmetric_difference", "^", many=False),
    "symmetric_difference_update": _combining_in_place("symmetric_difference_update", "^"),
    "union": _union,
    "update": _set_update,
}
_METHODS: Final[dict[type, dict[str, Method]]] = {
    StarlarkList: _LIST,
    StarlarkDict: _DICT,
    StarlarkSet: _SET,
    str: dict(STRING_METHODS),
    bytes: {"elems": bytes_elems},
}
