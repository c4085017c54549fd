"""The methods of strings and of bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from compiler.frontend.starlark.arguments import MISSING, signature, wants_bool, wants_int, wants_text, wrong_type
from compiler.frontend.starlark.budget import VALUE
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown, str_format
from compiler.frontend.starlark.values import Elements, StarlarkList, elements_of, type_name

if TYPE_CHECKING:
    from compiler.frontend.starlark.thread import Thread

TextMethod = Callable[["Thread", str, list[object], dict[str, object]], object]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
# Characters that a search passes in a microsecond where it keeps finding beginnings.
_SEARCHED_A_STEP = 200
_NOT_TITLE = "\u01c4\u01c7\u01ca\u01f1"
# White space as Unicode defines it; Python also counts the separators U+001C to U+001F.
_SPACE = " \t\n\r\v\f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_BREAK = re.compile(f"[{_SPACE}]+")
_SLOW_CHARACTERS_A_STEP = 8
_COMPARED_A_STEP = 2**13
_CHANGED_A_STEP = 40
# Characters to be cut off among which one is found as soon as one is changed.
_CUT_AT_ONCE = 512
_JOINED_A_STEP = 8


def _bounds(function: str, start: object, end: object) -> tuple[int | None, int | None]:
    found: list[int | None] = []
    for parameter, value in (("start", start), ("end", end)):
        is_open = value is None or value is MISSING
        found.append(None if is_open else max(-(2**62), min(2**62, wants_int(function, parameter, value))))
    return found[0], found[1]


def _searching(name: str, *, backwards: bool, must_be_there: bool) -> TextMethod:
    takes = signature(name, "sub", "start?", "end?", "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        sub, start, end = takes.bind(args, kwargs)
        wanted = wants_text(name, "sub", sub)
        low, high = _bounds(name, start, end)
        thread.budget.step(1 + len(text) // _SEARCHED_A_STEP)
        at = text.rfind(wanted, low, high) if backwards else text.find(wanted, low, high)
        if at < 0 and must_be_there:
            raise StarlarkError(f"{name}: substring {shown(wanted)} not found in {shown(text)}")
        return at

    return method


def _count(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    sub, start, end = signature("count", "sub", "start?", "end?", "/").bind(args, kwargs)
    low, high = _bounds("count", start, end)
    thread.budget.step(1 + len(text) // _SEARCHED_A_STEP)
    return text.count(wants_text("count", "sub", sub), low, high)


def _affix(name: str, parameter: str) -> TextMethod:
    takes = signature(name, parameter, "start?", "end?", "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        affix, start, end = takes.bind(args, kwargs)
        low, high = _bounds(name, start, end)
        if isinstance(affix, tuple):
            for at, item in enumerate(affix):
                if not isinstance(item, str):
                    raise StarlarkError(
                        f"{name}: got {type_name(item)}, for element {at} of the tuple, want string "
                        f"(type of parameter '{parameter}' doesn't match): {shown(item)}"
                    )
            affixes = tuple(item for item in affix if isinstance(item, str))
        else:
            affixes = (wants_text(name, parameter, affix),)
        part = text[low:high]
        thread.budget.step(len(part) // _COMPARED_A_STEP + len(affixes))
        return any(part.startswith(a) if name == "startswith" else part.endswith(a) for a in affixes)

    return method


def _plain(name: str, call: Callable[[str], object]) -> TextMethod:
    takes = signature(name)

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        takes.bind(args, kwargs)
        thread.budget.allocate(len(text))
        thread.budget.step(len(text) // _CHANGED_A_STEP)
        return call(text)

    return method


def _isalnum(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    signature("isalnum").bind(args, kwargs)
    thread.budget.step(1 + len(text) // _SLOW_CHARACTERS_A_STEP)
    # Python also counts numbers that are no digits, such as Roman ones.
    return text.isalnum() and (text.isascii() or all(char.isalpha() or char.isdecimal() for char in text))


def _is_title(text: str) -> bool:
    """Whether each word begins in title case, which four letters have beside their upper case."""
    return text.istitle() and not any(letter in text for letter in _NOT_TITLE)


def _stripping(name: str) -> TextMethod:
    takes = signature(name, "chars?", "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        (chars,) = takes.bind(args, kwargs)
        cut = _SPACE if chars is MISSING or chars is None or chars == "" else wants_text(name, "chars", chars)
        thread.budget.allocate(len(text))
        thread.budget.step(len(text) * (1 + len(cut) // _CUT_AT_ONCE) // _CHANGED_A_STEP)
        if name == "lstrip":
            return text.lstrip(cut)
        return text.rstrip(cut) if name == "rstrip" else text.strip(cut)

    return method


def _splitting(name: str) -> TextMethod:
    takes = signature(name, "sep?", "maxsplit?", "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        sep, most = takes.bind(args, kwargs)
        limit = -1 if most is MISSING or most is None else wants_int(name, "maxsplit", most)
        limit = max(-1, min(limit, len(text)))
        by = None if sep is MISSING or sep is None else wants_text(name, "sep", sep)
        if by == "":
            raise StarlarkError(f"{name}: empty separator")
        thread.budget.elements(len(text) if by is None else text.count(by) + 1, VALUE)
        thread.budget.allocate(len(text))
        if by is None:
            return StarlarkList(_words(text, limit) if name == "split" else _last_words(text, limit))
        return StarlarkList(text.split(by, limit) if name == "split" else text.rsplit(by, limit))

    return method


def _words(text: str, limit: int) -> list[str]:
    text = text.lstrip(_SPACE)
    words = [text] if limit == 0 else _BREAK.split(text, max(limit, 0))
    return words if words[-1] else words[:-1]


def _last_words(text: str, limit: int) -> list[str]:
    return [word[::-1] for word in reversed(_words(text[::-1], limit))]


def _splitlines(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    (keep,) = signature("splitlines", "keepends?", "/").bind(args, kwargs)
    keeps_ends = keep is not MISSING and wants_bool("splitlines", "keepends", keep)
    thread.budget.elements(text.count("\n") + text.count("\r") + 1, VALUE)
    thread.budget.allocate(len(text))
    lines = _LINE.findall(text)
    return StarlarkList(lines if keeps_ends else [line.rstrip("\r\n") for line in lines])


def _partitioning(name: str) -> TextMethod:
    takes = signature(name, "sep", "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        sep = wants_text(name, "sep", takes.bind(args, kwargs)[0])
        if not sep:
            raise StarlarkError(f"{name}: empty separator")
        thread.budget.allocate(len(text))
        return text.partition(sep) if name == "partition" else text.rpartition(sep)

    return method


def _removing(name: str, parameter: str) -> TextMethod:
    takes = signature(name, parameter, "/")

    def method(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
        affix = wants_text(name, parameter, takes.bind(args, kwargs)[0])
        thread.budget.allocate(len(text))
        return text.removeprefix(affix) if name == "removeprefix" else text.removesuffix(affix)

    return method


def _replace(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    old, new, count = signature("replace", "old", "new", "count?", "/").bind(args, kwargs)
    before, after = wants_text("replace", "old", old), wants_text("replace", "new", new)
    limit = -1 if count is MISSING or count is None else wants_int("replace", "count", count)
    limit = max(-1, min(limit, len(text) + 1))
    found = text.count(before) if before else len(text) + 1
    times = found if limit < 0 else min(limit, found)
    thread.budget.allocate(len(text) + times * max(0, len(after) - len(before)))
    return text.replace(before, after, limit)


def _join(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    (items,) = signature("join", "elements", "/").bind(args, kwargs)
    parts: list[str] = []
    found = elements_of(items, thread.budget, "join: for parameter elements: ")
    thread.budget.step(len(found) // _JOINED_A_STEP)
    for at, item in enumerate(found):
        if not isinstance(item, str):
            raise StarlarkError(f"join: in list, want string, got {type_name(item)} as element {at}: {shown(item)}")
        parts.append(item)
    thread.budget.allocate(sum(map(len, parts)) + len(text) * max(0, len(parts) - 1))
    return text.join(parts)


def _format(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    return str_format(text, args, kwargs, thread.budget)


def _elems(thread: Thread, text: str, args: list[object], kwargs: dict[str, object]) -> object:
    signature("elems").bind(args, kwargs)
    return Elements(text)


STRING_METHODS: Final[dict[str, TextMethod]] = {
    "capitalize": _plain("capitalize", lambda text: text[:1].upper() + text[1:].lower()),
    "count": _count,
    "elems": _elems,
    "endswith": _affix("endswith", "suffix"),
    "find": _searching("find", backwards=False, must_be_there=False),
    "format": _format,
    "index": _searching("index", backwards=False, must_be_there=True),
    "isalnum": _isalnum,
    "isalpha": _plain("isalpha", str.isalpha),
    "isdigit": _plain("isdigit", str.isdecimal),
    "islower": _plain("islower", str.islower),
    "isspace": _plain("isspace", lambda text: bool(text) and not text.strip(_SPACE)),
    "istitle": _plain("istitle", _is_title),
    "isupper": _plain("isupper", str.isupper),
    "join": _join,
    "lower": _plain("lower", str.lower),
    "lstrip": _stripping("lstrip"),
    "partition": _partitioning("partition"),
    "removeprefix": _removing("removeprefix", "prefix"),
    "removesuffix": _removing("removesuffix", "suffix"),
    "replace": _replace,
    "rfind": _searching("rfind", backwards=True, must_be_there=False),
    "rindex": _searching("rindex", backwards=True, must_be_there=True),
    "rpartition": _partitioning("rpartition"),
    "rsplit": _splitting("rsplit"),
    "rstrip": _stripping("rstrip"),
    "split": _splitting("split"),
    "splitlines": _splitlines,
    "startswith": _affix("startswith", "prefix"),
    "strip": _stripping("strip"),
    "title": _plain("title", str.title),
    "upper": _plain("upper", str.upper),
}


def bytes_elems(thread: Thread, data: bytes, args: list[object], kwargs: dict[str, object]) -> object:
    """Return the bytes as integers that can be iterated over."""
    signature("elems").bind(args, kwargs)
    return Elements(data)


def bytes_of(thread: Thread, value: object) -> bytes:
    """Return `bytes(value)`: of a string its UTF-8, of an iterable its integers."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        thread.budget.allocate(len(value) * 4)
        return value.encode("utf-8", "replace")
    if isinstance(value, (int, float)) or value is None:
        raise wrong_type("bytes", "x", value, "string, bytes, or iterable of ints")
    found: list[int] = []
    for at, item in enumerate(elements_of(value, thread.budget, "bytes: for parameter x: ")):
        if type(item) is not int:
            raise StarlarkError(f"bytes: at index {at}: got {type_name(item)}, want int: {shown(item)}")
        if not 0 <= item < 256:
            raise StarlarkError(f"bytes: at index {at}: {shown(item)} out of range, want value in unsigned 8-bit range")
        found.append(item)
    return bytes(found)
