"""The functions and constants that every program of Starlark finds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key
from typing import TYPE_CHECKING

from compiler.frontend.starlark.arguments import MISSING, signature, wants_bool, wants_int, wants_text, wrong_type
from compiler.frontend.starlark.budget import ENTRY, VALUE, check_bits
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown, to_repr, to_str
from compiler.frontend.starlark.methods import attribute, attribute_names, fill, has_attribute
from compiler.frontend.starlark.operators import ordered, to_float, truth
from compiler.frontend.starlark.strings import bytes_of
from compiler.frontend.starlark.values import (
    Builtin,
    Elements,
    Implementation,
    StarlarkDict,
    StarlarkList,
    StarlarkSet,
    elements_of,
    size_of_range,
    type_name,
)

if TYPE_CHECKING:
    from compiler.frontend.starlark.thread import Thread

Keywords = dict[str, object]

_PREFIXES = {"0x": 16, "0o": 8, "0b": 2}
_LARGEST_BOUND = 2**62
_DIGITS_A_STEP = 15
_TRUTHS_A_STEP = 4


def universe() -> dict[str, object]:
    """Return all names that the language brings, each time in a dict of its own."""
    named: dict[str, object] = {name: Builtin(name, call) for name, call in _FUNCTIONS.items()}
    return {"None": None, "True": True, "False": False, **named}


def _abs(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("abs", "x", "/").bind(args, kwargs)
    if type(x) is int or type(x) is float:
        return abs(x)
    raise wrong_type("abs", "x", x, "int or float")


def _all(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("all", "elements", "/").bind(args, kwargs)
    return all(_truths(thread, elements_of(x, thread.budget, "all: for parameter elements: ")))


def _any(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("any", "elements", "/").bind(args, kwargs)
    return any(_truths(thread, elements_of(x, thread.budget, "any: for parameter elements: ")))


def _truths(thread: Thread, items: list[object]) -> Iterable[bool]:
    thread.budget.step(len(items) // _TRUTHS_A_STEP)
    return map(truth, items)


def _bool(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("bool", "x?", "/").bind(args, kwargs)
    return x is not MISSING and truth(x)


def _bytes(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("bytes", "x", "/").bind(args, kwargs)
    return bytes_of(thread, x)


def _chr(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (i,) = signature("chr", "i", "/").bind(args, kwargs)
    code = wants_int("chr", "i", i)
    if not 0 <= code < 0x110000:
        raise StarlarkError(f"chr: Unicode code point {shown(code)} out of range (0 to 0x10FFFF)")
    return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"


def _dict(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    return fill(thread, "dict", StarlarkDict(), args, kwargs)


def _dir(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("dir", "x", "/").bind(args, kwargs)
    names = attribute_names(x)
    thread.budget.elements(len(names))
    return StarlarkList(names)


def _enumerate(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    items, start = signature("enumerate", "iterable", "/", "start?").bind(args, kwargs)
    first = 0 if start is MISSING else wants_int("enumerate", "start", start)
    found = elements_of(items, thread.budget, "enumerate: for parameter iterable: ")
    thread.budget.elements(len(found), VALUE)
    return StarlarkList(enumerate(found, first))


def _fail(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    rest = dict(kwargs)
    sep = rest.pop("sep", " ")
    msg, attr = rest.pop("msg", MISSING), rest.pop("attr", MISSING)
    if rest:
        raise StarlarkError(f"fail: got an unexpected keyword argument `{next(iter(rest))}`")
    parts = [to_str(x, thread.budget) for x in ([msg] if msg is not MISSING else []) + args]
    prefix = "" if attr is MISSING or attr is None else f"attribute {to_str(attr, thread.budget)}: "
    raise StarlarkError(f"fail: {prefix}{wants_text('fail', 'sep', sep).join(parts)}")


def _float(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("float", "x?", "/").bind(args, kwargs)
    if x is MISSING:
        return 0.0
    if type(x) is bool:
        return float(x)
    if type(x) is int or type(x) is float:
        return to_float(x)
    if not isinstance(x, str):
        raise wrong_type("float", "x", x, "number or string")
    text = x.lower()
    is_word = text.lstrip("+-") in ("inf", "infinity", "nan")
    try:
        if not x.isascii() or "_" in x or x.strip() != x or not (is_word or any(c.isdigit() for c in x)):
            raise ValueError
        value = float(x)
    except ValueError:
        raise StarlarkError(f"float: invalid float literal: {shown(x)}") from None
    if value in (float("inf"), float("-inf")) and not is_word:
        raise StarlarkError(f"float: floating-point number too large: {shown(x)}")
    return value


def _getattr(_: Thread, args: list[object], kwargs: Keywords) -> object:
    x, name, default = signature("getattr", "x", "name", "default?", "/").bind(args, kwargs)
    wanted = wants_text("getattr", "name", name)
    if default is not MISSING and not has_attribute(x, wanted):
        return default
    return attribute(x, wanted)


def _hasattr(_: Thread, args: list[object], kwargs: Keywords) -> object:
    x, name = signature("hasattr", "x", "name", "/").bind(args, kwargs)
    return has_attribute(x, wants_text("hasattr", "name", name))


def _hash(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("hash", "x", "/").bind(args, kwargs)
    if isinstance(x, str):
        thread.budget.step(1 + len(x) // 3)
        value = 0
        units = x.encode("utf-16-le", "surrogatepass")
        for at in range(0, len(units), 2):
            value = (31 * value + units[at] + 256 * units[at + 1]) & 0xFFFFFFFF
        return value - 2**32 if value >= 2**31 else value
    if isinstance(x, bytes):
        thread.budget.step(1 + len(x) // 3)
        value = 2166136261
        for byte in x:
            value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
        return value
    raise wrong_type("hash", "x", x, "string or bytes")


def _int(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    x, base = signature("int", "x", "/", "base?").bind(args, kwargs)
    if isinstance(x, str):
        if base is not MISSING and type(base) is not int:
            raise StarlarkError(f"int: base must be an integer: got {type_name(base)}, want int: {shown(base)}")
        return _parsed(thread, x, 10 if type(base) is not int else base)
    if base is not MISSING:
        raise StarlarkError(f"int: can't convert non-string with explicit base: {shown(x)}")
    if type(x) is bool or type(x) is int:
        return int(x)
    if type(x) is float:
        if x != x or x in (float("inf"), float("-inf")):
            raise StarlarkError(f"int: cannot convert float {to_text_of_float(x)} to integer")
        return int(x)
    raise StarlarkError(f"int: got {type_name(x)}, want string or number: cannot convert {shown(x)}")


def to_text_of_float(x: float) -> str:
    """Return a float that is no number in words."""
    return "NaN" if x != x else "infinity"


def _parsed(thread: Thread, text: str, base: int) -> int:
    if base != 0 and not 2 <= base <= 36:
        raise StarlarkError(f"int: invalid base {base} (want base >= 2 and <= 36, or 0)")
    fault = StarlarkError(
        f"int: invalid literal with base {base}: {shown(text)} is not a base {base} literal, "
        f"not a valid number in base {base}"
    )
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    prefixed = _PREFIXES.get(digits[:2].lower())
    if prefixed is not None and base in (0, prefixed) and len(digits) > 2:
        digits, base = digits[2:], prefixed
    elif base == 0:
        base = 10
        if digits.startswith("0") and digits.strip("0"):
            raise fault
    if not digits or not digits.isascii() or not digits.isalnum():
        raise fault
    if digits[1:2] in ("x", "X", "o", "O", "b", "B") and int(digits[1], 36) >= base:
        raise fault  # Python would take a second prefix
    check_bits((len(digits.lstrip("0")) * base.bit_length()) // 2 + 1)
    thread.budget.step(len(digits) // _DIGITS_A_STEP)
    try:
        value = int(digits, base)
    except ValueError:
        raise fault from None
    check_bits(value.bit_length())
    return -value if sign == "-" else value


def _len(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("len", "x", "/").bind(args, kwargs)
    if isinstance(x, StarlarkList):
        return len(x.items)
    if isinstance(x, (StarlarkDict, StarlarkSet)):
        return len(x.entries)
    if isinstance(x, range):
        return size_of_range(x)
    if isinstance(x, (str, bytes, tuple)):
        return len(x)
    if isinstance(x, Elements):
        return len(x.of)
    raise StarlarkError(f"len: value of type {type_name(x)} has no len (not iterable, not supported): {shown(x)}")


def _list(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("list", "elements?", "/").bind(args, kwargs)
    return StarlarkList() if x is MISSING else StarlarkList(elements_of(x, thread.budget, "list: "))


def _extreme(name: str, sign: int) -> Implementation:
    def call(thread: Thread, args: list[object], kwargs: Keywords) -> object:
        key = kwargs.get("key")
        others = [k for k in kwargs if k != "key"]
        if others:
            raise StarlarkError(f"{name}: got an unexpected keyword argument `{others[0]}`")
        if not args:
            raise StarlarkError(f"{name}: at least one positional argument required: at least one item")
        items = list(args) if len(args) > 1 else elements_of(args[0], thread.budget, f"{name}: ")
        if not items:
            raise StarlarkError(f"{name}: argument is an empty sequence, expected at least one item")
        keys = items if key is None else [thread.call(key, [item], {}) for item in items]
        thread.budget.step(len(items))
        best = 0
        for at in range(1, len(items)):
            if sign * ordered(keys[at], keys[best], thread.budget) < 0:
                best = at
        return items[best]

    return call


def _ord(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("ord", "s", "/").bind(args, kwargs)
    if isinstance(x, bytes):
        if len(x) != 1:
            raise StarlarkError(f"ord: bytes has length {len(x)}, want 1")
        return x[0]
    text = wants_text("ord", "s", x)
    if len(text) != 1:
        raise StarlarkError(f"ord: string encodes {len(text)} Unicode code points, want 1: {shown(text)}")
    return ord(text)


def _print(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    sep = kwargs.get("sep", " ")
    others = [k for k in kwargs if k != "sep"]
    if others:
        raise StarlarkError(f"print: got an unexpected keyword argument `{others[0]}`")
    text = wants_text("print", "sep", sep).join(to_str(x, thread.budget) for x in args)
    thread.budget.allocate(len(text))
    thread.printed.append(text)
    return None


def _range(_: Thread, args: list[object], kwargs: Keywords) -> object:
    first, second, third = signature("range", "start_or_stop", "stop?", "step?", "/").bind(args, kwargs)
    step = 1 if third is MISSING else wants_int("range", "step", third)
    start = 0 if second is MISSING else wants_int("range", "start", first)
    stop = wants_int("range", "stop", first if second is MISSING else second)
    if step == 0:
        raise StarlarkError("range: step argument must not be zero (step cannot be 0)")
    for name, value in (("start", start), ("stop", stop), ("step", step)):
        if not -_LARGEST_BOUND <= value <= _LARGEST_BOUND:
            raise StarlarkError(f"range: {name} {shown(value)} out of range")
    return range(start, stop, step)


def _repr(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("repr", "x", "/").bind(args, kwargs)
    return to_repr(x, thread.budget)


def _reversed(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("reversed", "sequence", "/").bind(args, kwargs)
    return StarlarkList(reversed(elements_of(x, thread.budget, "reversed: for parameter sequence: ")))


def _set(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("set", "elements?", "/").bind(args, kwargs)
    if x is MISSING:
        return StarlarkSet()
    found = elements_of(x, thread.budget, "set: for parameter elements: ")
    thread.budget.elements(len(found), ENTRY)
    return StarlarkSet(found)


def _sorted(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    if len(args) > 1:
        raise StarlarkError(f"sorted: got {len(args)} positional arguments, want 1: key and reverse are given by name")
    x, key, reverse = signature("sorted", "iterable", "/", "key?", "reverse?").bind(args, kwargs)
    items = elements_of(x, thread.budget, "sorted: for parameter iterable: ")
    thread.budget.step(len(items) * max(1, len(items).bit_length()) // 4)
    with_key = key is not MISSING and key is not None
    pairs = [(thread.call(key, [item], {}) if with_key else item, item) for item in items]
    is_reversed = reverse is not MISSING and wants_bool("sorted", "reverse", reverse)
    budget = thread.budget
    # Python's sort keeps the order of equal elements when it is reversed, as the language wants it.

    def order(a: tuple[object, object], b: tuple[object, object]) -> int:
        return ordered(a[0], b[0], budget)

    pairs.sort(key=cmp_to_key(order), reverse=is_reversed)
    return StarlarkList(item for _, item in pairs)


def _str(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("str", "x", "/").bind(args, kwargs)
    return to_str(x, thread.budget)


def _tuple(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("tuple", "elements?", "/").bind(args, kwargs)
    return () if x is MISSING else tuple(elements_of(x, thread.budget, "tuple: "))


def _type(_: Thread, args: list[object], kwargs: Keywords) -> object:
    (x,) = signature("type", "x", "/").bind(args, kwargs)
    return type_name(x)


def _zip(thread: Thread, args: list[object], kwargs: Keywords) -> object:
    if kwargs:
        raise StarlarkError(f"zip: got an unexpected keyword argument `{next(iter(kwargs))}`")
    columns = [elements_of(x, thread.budget, f"zip: for argument {at}: ") for at, x in enumerate(args, 1)]
    rows = min(map(len, columns), default=0)
    thread.budget.elements(rows, VALUE + 8 * len(columns))
    return StarlarkList(zip(*(column[:rows] for column in columns), strict=True))


_FUNCTIONS: dict[str, Implementation] = {
    "abs": _abs,
    "all": _all,
    "any": _any,
    "bool": _bool,
    "bytes": _bytes,
    "chr": _chr,
    "dict": _dict,
    "dir": _dir,
    "enumerate": _enumerate,
    "fail": _fail,
    "float": _float,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "hash": _hash,
    "int": _int,
    "len": _len,
    "list": _list,
    "max": _extreme("max", -1),
    "min": _extreme("min", 1),
    "ord": _ord,
    "print": _print,
    "range": _range,
    "repr": _repr,
    "reversed": _reversed,
    "set": _set,
    "sorted": _sorted,
    "str": _str,
    "tuple": _tuple,
    "type": _type,
    "zip": _zip,
}
