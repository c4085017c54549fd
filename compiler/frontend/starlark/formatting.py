"""Values as text: repr and str, `%`, and str.format.

A text is made piece by piece against the budget, so that a value that holds itself many times over is refused before
its text fills the memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from compiler.frontend.starlark.budget import MAX_NESTING, Budget, too_deep
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.values import Builtin, Elements, StarlarkDict, StarlarkList, StarlarkSet, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_SHOWN = 40
_STEPS_TO_SHOW = 60
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_SHORTEST_EXPONENT = 6
# Squares of bits whose digits, and characters whose escapes, are found in a microsecond.
_WORK_A_STEP = 2**18
_SLOW_CHARACTERS_A_STEP = 5
_SURELY_QUICK = 512
_STEPS_OF_A_FIELD = 8
_FIELD = re.compile(r"[{}]")
_STRAY = re.compile("[\udc80-\udcff]")


def to_repr(value: object, budget: Budget) -> str:
    """Return a value as code would write it."""
    pieces: list[str] = []
    _write(value, pieces, budget, ())
    return "".join(pieces)


def to_str(value: object, budget: Budget) -> str:
    """Return a value as text: a string as it is, everything else as by repr."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        budget.allocate(len(value) * 4)
        budget.step(0 if value.isascii() else len(value) // _SLOW_CHARACTERS_A_STEP)
        # Each byte that is no part of a character becomes one replacement character.
        return _STRAY.sub("\ufffd", value.decode("utf-8", "surrogateescape"))
    return to_repr(value, budget)


def shown(value: object) -> str:
    """Return a value for a message: cut where it is long."""
    try:
        text = to_repr(value, Budget(steps=_STEPS_TO_SHOW, allocated=4096))
    except StarlarkError:
        return f"a {type_name(value)}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _write(value: object, pieces: list[str], budget: Budget, above: tuple[object, ...]) -> None:
    budget.step()
    if isinstance(value, (StarlarkList, StarlarkDict, StarlarkSet, tuple)):
        budget.step(3)
        _write_holder(value, pieces, budget, above)
        return
    text = _scalar(value, budget)
    budget.allocate(len(text))
    pieces.append(text)


def _scalar(value: object, budget: Budget) -> str:
    if isinstance(value, str):
        budget.allocate(len(value))
        return _quoted(value, budget)
    if isinstance(value, bytes):
        budget.allocate(len(value) * 4)
        budget.step(len(value) // _SLOW_CHARACTERS_A_STEP)
        return "b" + quoted(value.decode("latin-1"), is_bytes=True)
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, range):
        inside = f"{value.start}, {value.stop}" if value.start or value.step != 1 else f"{value.stop}"
        return f"range({inside}, {value.step})" if value.step != 1 else f"range({inside})"
    if value is None or isinstance(value, int):
        return _decimal(value, budget)
    if isinstance(value, Builtin):
        owner = f" of {type_name(value.owner)} value" if value.owner is not None else ""
        return f"<built-in {'method' if owner else 'function'} {value.name}{owner}>"
    if isinstance(value, Elements):
        return f"{_scalar(value.of, budget)}.{value.method}()"
    name = getattr(value, "name", "")
    return f"<{type_name(value)} {name}>" if name else f"<{type_name(value)}>"


def _decimal(value: int | None, budget: Budget) -> str:
    bits = 0 if value is None else value.bit_length()
    if bits > _SURELY_QUICK:
        budget.step(bits * bits // _WORK_A_STEP)
    return str(value)


def _quoted(text: str, budget: Budget) -> str:
    if not _is_plain(text):
        budget.step(len(text) // _SLOW_CHARACTERS_A_STEP)
    return quoted(text)


def _write_holder(
    value: StarlarkList | StarlarkDict | StarlarkSet | tuple[object, ...],
    pieces: list[str],
    budget: Budget,
    above: tuple[object, ...],
) -> None:
    opening, closing = _brackets(value)
    if any(value is other for other in above):
        pieces.append(f"{opening}...{closing}")
        return
    if len(above) >= MAX_NESTING:
        raise too_deep("repr")
    inside = (*above, value)
    pieces.append(opening)
    if isinstance(value, StarlarkDict):
        for at, (key, held) in enumerate(value.items()):
            pieces.append(", " if at else "")
            _write(key, pieces, budget, inside)
            pieces.append(": ")
            _write(held, pieces, budget, inside)
    else:
        _write_items(_items(value), pieces, budget, inside)
        if isinstance(value, tuple) and len(value) == 1:
            pieces.append(",")
    pieces.append(closing)


def _write_items(items: Iterable[object], pieces: list[str], budget: Budget, inside: tuple[object, ...]) -> None:
    for at, item in enumerate(items):
        pieces.append(", " if at else "")
        _write(item, pieces, budget, inside)


def _items(value: StarlarkList | StarlarkSet | tuple[object, ...]) -> Iterable[object]:
    if isinstance(value, StarlarkList):
        return value.items
    return value.elements() if isinstance(value, StarlarkSet) else value


def _brackets(value: object) -> tuple[str, str]:
    if isinstance(value, StarlarkList):
        return "[", "]"
    if isinstance(value, StarlarkDict):
        return "{", "}"
    if isinstance(value, StarlarkSet):
        return ("set([", "])") if value.entries else ("set(", ")")
    return "(", ")"


def quoted(text: str, *, is_bytes: bool = False) -> str:
    """Return a text between double quotes, with escapes for what cannot be seen."""
    if _is_plain(text):
        return f'"{text}"'
    return '"' + "".join(_escaped(char, is_bytes=is_bytes) for char in text) + '"'


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _escaped(char: str, *, is_bytes: bool) -> str:
    known = _ESCAPES.get(char)
    if known is not None:
        return known
    code = ord(char)
    if is_bytes:
        return char if 0x20 <= code < 0x7F else f"\\x{code:02x}"
    if char.isprintable():
        return char
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def format_float(value: float, conversion: str = "g") -> str:
    """Return a float as `%g`, `%e` or `%f` write it; `g` has the fewest digits that tell it from all others."""
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "+inf" if value > 0 else "-inf"
    if conversion in "eEfF":
        return f"{value:.6{conversion}}"
    text = _shortest(value)
    return text.upper() if conversion == "G" else text


def _shortest(value: float) -> str:
    sign = "-" if str(value).startswith("-") else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0") or "0"
    if value == 0:
        return f"{sign}0.0"
    at = point - 1
    if -4 <= at < _SHORTEST_EXPONENT:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        padded = digits.ljust(point, "0")
        return f"{sign}{padded[:point]}.{padded[point:] or '0'}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'-' if at < 0 else '+'}{abs(at):02d}"


def percent(text: str, args: object, budget: Budget) -> str:
    """Return `text % args`."""
    values = args if isinstance(args, tuple) else (args,)
    pieces: list[str] = []
    used = at = 0
    takes_names = False
    while True:
        found = text.find("%", at)
        if found < 0:
            pieces.append(text[at:])
            break
        pieces.append(text[at:found])
        conversion, at = text[found + 1 : found + 2], found + 2
        if conversion == "%":
            pieces.append("%")
            continue
        if conversion == "(":
            takes_names = True
            value, conversion, at = _named(text, at, args)
        else:
            if not conversion:
                raise StarlarkError(f"incomplete format: {shown(text)} ends with %")
            if used >= len(values):
                raise StarlarkError(f"not enough arguments for format string {shown(text)}: {len(values)} given")
            value, used = values[used], used + 1
        budget.step(_STEPS_OF_A_FIELD)
        piece = _converted(conversion, value, budget)
        budget.allocate(len(piece))
        pieces.append(piece)
    if used < len(values) and not (takes_names and isinstance(args, StarlarkDict)):
        raise StarlarkError(
            f"too many arguments for format string {shown(text)}: not all arguments converted ({used} of {len(values)})"
        )
    budget.allocate(len(text))
    return "".join(pieces)


def _named(text: str, at: int, args: object) -> tuple[object, str, int]:
    end = text.find(")", at)
    if end < 0:
        raise StarlarkError(f"incomplete format key: {shown(text)} lacks a closing parenthesis")
    name = text[at:end]
    if not isinstance(args, StarlarkDict):
        raise StarlarkError(f"format requires a mapping, got {type_name(args)}: %({name})")
    if name not in args.entries:
        raise StarlarkError(f"key not found: {name} (format {shown(text)})")
    if end + 1 >= len(text):
        raise StarlarkError(f"incomplete format: nothing follows %({name})")
    return args.entries[name], text[end + 1], end + 2


def _converted(conversion: str, value: object, budget: Budget) -> str:
    if conversion == "s":
        return to_str(value, budget)
    if conversion == "r":
        return to_repr(value, budget)
    if conversion in "diouxX" and conversion != "u":
        return _integer(conversion, value, budget)
    if conversion in "eEfFgG":
        if type(value) is not float and type(value) is not int:
            raise StarlarkError(f"%{conversion} format requires float, not {type_name(value)}: {shown(value)}")
        try:
            return format_float(float(value), conversion)
        except OverflowError:
            raise StarlarkError(f"int too large to convert to float: {shown(value)}") from None
    if conversion == "c":
        return _character(value)
    raise StarlarkError(f"unknown conversion %{conversion}: unsupported format character")


def _integer(conversion: str, value: object, budget: Budget) -> str:
    if type(value) is float and value == value and abs(value) != float("inf"):
        value = int(value)
    if type(value) is not int:
        raise StarlarkError(f"%{conversion} format requires integer: {type_name(value)} {shown(value)}")
    sign, size = ("-", -value) if value < 0 else ("", value)
    if conversion in "di":
        return _decimal(value, budget)
    return f"{sign}{size:{conversion}}"


def _character(value: object) -> str:
    if isinstance(value, str):
        if len(value) != 1:
            raise StarlarkError(f"%c format requires a single-character string, got {shown(value)}")
        return value
    if type(value) is not int:
        raise StarlarkError(f"%c format requires int or single-character string, not {type_name(value)}")
    if not 0 <= value < 0x110000 or 0xD800 <= value < 0xE000:
        raise StarlarkError(f"%c format requires a valid Unicode code point, got {shown(value)}")
    return chr(value)


def str_format(text: str, args: list[object], kwargs: dict[str, object], budget: Budget) -> str:
    """Return `text.format(*args, **kwargs)`."""
    pieces: list[str] = []
    at, automatic = 0, 0
    is_manual = False
    while True:
        found = _FIELD.search(text, at)
        if found is None:
            pieces.append(text[at:])
            break
        place = found.start()
        pieces.append(text[at:place])
        if text[place : place + 2] in ("{{", "}}"):
            pieces.append(text[place])
            at = place + 2
            continue
        if text[place] == "}":
            raise StarlarkError("single '}' in format: found '}' without matching '{', standalone '}'")
        name, conversion, at = _field(text, place)
        if name == "" and is_manual:
            raise StarlarkError("cannot mix manual and automatic numbering: cannot switch from manual to automatic")
        if name == "":
            name, automatic = str(automatic), automatic + 1
        elif name.isdecimal() and name.isascii():
            if automatic:
                raise StarlarkError(
                    "cannot mix automatic and manual numbering: cannot switch from automatic field numbering to manual"
                )
            is_manual = True
        budget.step(_STEPS_OF_A_FIELD)
        value = _format_argument(name, args, kwargs)
        piece = to_repr(value, budget) if conversion == "r" else to_str(value, budget)
        budget.allocate(len(piece))
        pieces.append(piece)
    budget.allocate(len(text))
    return "".join(pieces)


def _field(text: str, place: int) -> tuple[str, str, int]:
    end = text.find("}", place)
    inner = text.find("{", place + 1)
    if end < 0:
        raise StarlarkError("unmatched '{' in format: found '{' without matching '}'")
    if 0 <= inner < end:
        raise StarlarkError("nested replacement fields are not supported: unmatched '{' in format")
    name, bang, conversion = text[place + 1 : end].partition("!")
    if bang and conversion not in ("s", "r"):
        raise StarlarkError(f"unknown conversion {shown('!' + conversion)} in format")
    for sign, form in ((".", "x.y"), ("[", "a[i]"), (",", "a,b"), (":", "a:spec")):
        if sign in name:
            raise StarlarkError(
                f"invalid character '{sign}' inside replacement field: syntax {form} is not supported: {shown(name)} "
                "not found"
            )
    return name, conversion, end + 1


def _format_argument(name: str, args: list[object], kwargs: dict[str, object]) -> object:
    if name.isdecimal() and name.isascii():
        number = int(name[-9:]) if len(name.lstrip("0")) <= 9 else 10**9
        if number >= len(args):
            raise StarlarkError(f"no replacement found for index {number}: tuple index out of range, {len(args)} given")
        return args[number]
    if name not in kwargs:
        raise StarlarkError(f"missing argument '{name}': keyword {name} not found, no replacement found")
    return kwargs[name]
