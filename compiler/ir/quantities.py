"""Numbers with units, as people write them: `8Ki` tokens, `0.5GiB`, `1h30m`.

Reading is exact: fractions are carried as two integers, never as floats.  A text that could mean two things (`8k`:
8,000 or 8,192) is a fault that offers both.  No places in a text here; `lower` makes the diagnostic (RLC0401).
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class QuantityFault(NamedTuple):
    """Why a text is no quantity, and texts that are, nearest in meaning first."""

    message: str
    suggestions: tuple[str, ...] = ()


MAX_CHARACTERS = 32
MAX_VALUE = 2**63 - 1

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SECONDS = {"d": (86400, 1), "h": (3600, 1), "m": (60, 1), "s": (1, 1), "ms": (1, 1000)}
_DURATION_WORDS = {"min": "m", "mins": "m", "minutes": "m", "sec": "s", "secs": "s", "seconds": "s", "hours": "h"}
_DURATION_WORDS |= {"hour": "h", "minute": "m", "second": "s", "hr": "h", "hrs": "h", "day": "d", "days": "d"}

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_tokens(text: str) -> int | QuantityFault:
    """Return a number of tokens: `8192`, `8_000`, `8Ki`, `0.5Mi`."""
    found = _matched(text)
    if isinstance(found, QuantityFault):
        return found
    if found is None:
        return QuantityFault(f"`{text}` is no number of tokens", _tidied(text, ("8Ki", "8_000")))
    numerator, denominator, unit = found
    if unit == "" or unit in _BINARY:
        return _whole(text, numerator * _BINARY.get(unit, 1), denominator, of="tokens")
    letter = unit[0].lower()
    number = text[: -len(unit)]
    if unit.lower() in _DECIMAL:
        decimal, prefix = numerator * _DECIMAL[letter], f"{letter.upper()}i"
        either = _meaning(decimal, denominator), _meaning(numerator * _BINARY[prefix], denominator)
        ways = (number + prefix, *_grouped(decimal, denominator))
        return QuantityFault(f"`{text}` could mean {' or '.join(either)}", ways)
    if letter in _DECIMAL and unit.lower() in (f"{letter}i", f"{letter}ib"):
        return QuantityFault(f"`{unit}` is no unit of tokens", (f"{number}{letter.upper()}i",))
    return QuantityFault(f"`{unit}` is no unit of tokens; Ki, Mi and Gi are", ())


def parse_bytes(text: str) -> int | QuantityFault:
    """Return a number of bytes: `512MiB`, `0.5GiB`, `80GB`.  A unit is always written."""
    found = _matched(text)
    if isinstance(found, QuantityFault):
        return found
    if found is None:
        return QuantityFault(f"`{text}` is no number of bytes", _tidied(text, ("512MiB", "80GB")))
    numerator, denominator, unit = found
    if unit in _BYTES:
        return _whole(text, numerator * _BYTES[unit], denominator, of="bytes")
    if unit == "":
        return QuantityFault(f"`{text}` has no unit", (f"{text}B", f"{text}MiB", f"{text}GiB"))
    number, letter = text[: -len(unit)], unit[0].upper()
    if unit.upper() in ("K", "M", "G", "T"):
        decimal, binary = f"{number}{letter}B", f"{number}{letter}iB"
        return QuantityFault(f"`{unit}` could mean {letter}B or {letter}iB", (binary, decimal))
    same = tuple(number + u for u in _BYTES if u.lower() in (unit.lower(), f"{unit.lower()}b") and u != "kB")
    return QuantityFault(f"`{unit}` is no unit of bytes", same)


def parse_seconds(text: str) -> float | QuantityFault:
    """Return a duration in seconds: `30m`, `1h30m`, `45s`, `250ms`, `1.5h`; larger units first, each at most once."""
    if len(text) > MAX_CHARACTERS:
        return QuantityFault(f"a quantity has at most {MAX_CHARACTERS} characters")
    parts = _duration(text)
    if not parts:
        return QuantityFault(f"`{text}` is no duration", _duration_ways(text))
    top, bottom = 0, 1
    order = list(_SECONDS)
    previous = -1
    for whole, fraction, unit in parts:
        if order.index(unit) <= previous:
            return QuantityFault(f"the units of `{text}` do not stand in the order d, h, m, s, ms, each once")
        previous = order.index(unit)
        numerator, denominator = _ratio(whole, fraction)
        per, of = _SECONDS[unit]
        top, bottom = top * denominator * of + numerator * per * bottom, bottom * denominator * of
    return top / bottom


def _matched(text: str) -> tuple[int, int, str] | QuantityFault | None:
    if len(text) > MAX_CHARACTERS:
        return QuantityFault(f"a quantity has at most {MAX_CHARACTERS} characters")
    found = _split(text)
    return None if found is None else (*_ratio(found[0], found[1]), found[2])


def _split(text: str) -> tuple[str, str, str] | None:
    """The digits before the point, those behind it, and the unit of a text such as `1_000.5GiB`."""
    number = text.rstrip(_LETTERS)
    whole, point, fraction = number.partition(".")
    is_number = all(part.isdigit() for part in whole.split("_")) and bool(point) == fraction.isdigit()
    return (whole, fraction, text[len(number) :]) if is_number and text.isascii() else None


def _duration(text: str) -> list[tuple[str, str, str]]:
    """The parts of a text such as `1h30m`, or nothing."""
    found: list[tuple[str, str, str]] = []
    while text:
        rest = text.lstrip("0123456789.").lstrip(_LETTERS)
        part = _split(text[: len(text) - len(rest)])
        if part is None or part[2] not in _SECONDS:
            return []
        found.append(part)
        text = rest
    return found


def _ratio(whole: str, fraction: str) -> tuple[int, int]:
    return int(whole.replace("_", "") + fraction), 10 ** len(fraction)


def _whole(text: str, numerator: int, denominator: int, *, of: str) -> int | QuantityFault:
    value, rest = divmod(numerator, denominator)
    if rest:
        return QuantityFault(f"`{text}` is {_meaning(numerator, denominator)}: no whole number of {of}")
    if value > MAX_VALUE:
        return QuantityFault(f"`{text}` is {value:,} {of}: more than {MAX_VALUE:,}")
    return value


def _meaning(numerator: int, denominator: int) -> str:
    value, rest = divmod(numerator, denominator)
    return f"about {numerator / denominator:,.2f}" if rest else f"{value:,}"


def _grouped(numerator: int, denominator: int) -> tuple[str, ...]:
    value, rest = divmod(numerator, denominator)
    return () if rest else (f"{value:_}",)


def _tidied(text: str, examples: tuple[str, ...]) -> tuple[str, ...]:
    """The text without spaces, and with `_` between digits where a comma stood, if that makes it a quantity."""
    first, *groups = "".join(text.split()).split(",")
    tidy = "_".join((first, *groups))
    are_thousands = all(len(group) >= 3 and group[:3].isdigit() for group in groups)
    return (tidy,) if tidy != text and are_thousands and _split(tidy) else examples


def _duration_ways(text: str) -> tuple[str, ...]:
    found = _split("".join(text.split()))
    if found is None:
        return ("30m", "1h30m", "45s")
    whole, fraction, word = found
    number = whole.replace("_", "") + (f".{fraction}" if fraction else "")
    if not word:
        return (f"{number}s", f"{number}m")
    unit = _DURATION_WORDS.get(word.lower(), word.lower())
    return (number + unit,) if unit in _SECONDS else ("30m", "1h30m", "45s")
