"""Changes of a text as people make them, and as nobody does: of lines, words, values and brackets.

Bytes that were changed blindly are mostly a fault of syntax; these changes leave most of a text whole, so that what
stands behind the parser is reached too.  A change is a function of its seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_WORD = re.compile(rb"[A-Za-z0-9_./:+%-]+")
_NUMBER = re.compile(rb"-?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NUMBERS = (
    b"0",
    b"1",
    b"-1",
    b"2",
    b"3",
    b"7",
    b"0.5",
    b"1e-9",
    b"1e308",
    b"255",
    b"256",
    b"4096",
    b"65537",
    b"2147483648",
)
_NUMBERS += (
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1" + b"0" * 40,
    b"1e400",
    b"nan",
)
_ODD = (
    "\0",
    "\r",
    "\t",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\u202e",
    "e\u0301",
    "\u4e2d",
    "\U0001f600",
    "\xa0",
)
_BROKEN = (b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xf4\x90\x80\x80")
_OPEN = {
    b"[": b"]",
    b"(": b")",
    b"{": b"}",
    b"{a=": b"}",
    b"f(": b")",
    b"not ": b"",
    b"-": b"",
    b"a.": b"b",
    b'"': b'"',
}
_MOST_EDITS = 5

_Edit = Callable[["Mutator", random.Random, bytes], bytes]


class Mutator:
    """Makes inputs of inputs.

    Args:
        pool: texts from which pieces are taken.
        words: pieces of text that mean something.
    """

    def __init__(self, pool: Sequence[bytes], words: Sequence[str]) -> None:
        self.pool = [text.splitlines(keepends=True) for text in pool if text]
        self.words = [word.encode() for word in words]

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Return a changed input of at most so many bytes; equal arguments give equal results."""
        rng = random.Random(seed)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, _MOST_EDITS))):
            data = rng.choice(_EDITS)(self, rng, data)[:max_size]
        return data

    def lines_of_another(self, rng: random.Random) -> list[bytes]:
        """Return some lines of a text of the pool, one after the other."""
        lines = rng.choice(self.pool)
        start = rng.randrange(len(lines))
        return lines[start : start + rng.choice((1, 1, 2, 3, 5, 12, 40))]

    def word(self, rng: random.Random) -> bytes:
        """Return a word, or a number that is often one too far."""
        return rng.choice(_NUMBERS) if rng.random() < 0.2 else rng.choice(self.words)


def _delete_lines(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines, start, end = _run(rng, data)
    return b"".join(lines[:start] + lines[end:])


def _repeat_lines(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines, start, end = _run(rng, data)
    times = rng.choice((2, 2, 2, 3, 8, 60))
    return b"".join(lines[:start] + lines[start:end] * times + lines[end:])


def _move_lines(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines, start, end = _run(rng, data)
    rest = lines[:start] + lines[end:]
    at = rng.randint(0, len(rest))
    return b"".join(rest[:at] + lines[start:end] + rest[at:])


def _insert_lines(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = rng.randint(0, len(lines))
    return b"".join(lines[:at] + mutator.lines_of_another(rng) + lines[at:])


def _splice(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    other = rng.choice(mutator.pool)
    lines = data.splitlines(keepends=True)
    return b"".join(lines[: rng.randint(0, len(lines))] + other[rng.randrange(len(other)) :])


def _insert_setting(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = rng.randint(0, len(lines))
    setting = mutator.word(rng) + b" = " + mutator.word(rng) + rng.choice((b"\n", b",\n"))
    return b"".join([*lines[:at], setting, *lines[at:]])


def _replace_value(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    settings = [at for at, line in enumerate(lines) if b"=" in line or b":" in line]
    if not settings:
        return data + mutator.word(rng)
    at = rng.choice(settings)
    head, sign, _ = lines[at].partition(b"=") if b"=" in lines[at] else lines[at].partition(b":")
    value = mutator.word(rng)
    if rng.random() < 0.4:
        other = rng.choice(settings)
        value = re.split(b"[=:]", lines[other], maxsplit=1)[1].strip()
    lines[at] = head + sign + b" " + value + b"\n"
    return b"".join(lines)


def _replace_word(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    return _replace(rng, data, _WORD, mutator.word(rng))


def _replace_number(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    return _replace(rng, data, _NUMBER, rng.choice(_NUMBERS))


def _insert_word(mutator: Mutator, rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + mutator.word(rng) + data[at:]


def _insert_odd(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    odd = rng.choice(_ODD).encode() if rng.random() < 0.8 else rng.choice(_BROKEN)
    return data[:at] + odd + data[at:]


def _delete_span(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _repeat_span(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[start:end] * rng.choice((2, 3, 10, 100, 1000)) + data[end:]


def _nest(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    begin, close = rng.choice(list(_OPEN.items()))
    times = rng.choice((1, 1, 2, 10, 60, 110, 1000))
    return data[:start] + begin * times + data[start:end] + close * times + data[end:]


def _truncate(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _indent(_: Mutator, rng: random.Random, data: bytes) -> bytes:
    lines, start, end = _run(rng, data)
    margin = rng.choice((b"    ", b"  ", b" ", b"\t", b""))
    changed = [margin + (line if margin else line.lstrip()) for line in lines[start:end]]
    return b"".join(lines[:start] + changed + lines[end:])


def _replace(rng: random.Random, data: bytes, pattern: re.Pattern[bytes], new: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data + new
    one = rng.choice(found)
    return data[: one.start()] + new + data[one.end() :]


def _run(rng: random.Random, data: bytes) -> tuple[list[bytes], int, int]:
    """Lines, and where some of them that follow each other begin and end."""
    lines = data.splitlines(keepends=True)
    start = rng.randint(0, len(lines))
    return lines, start, start + rng.choice((1, 1, 1, 2, 3, 8))


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((0, 1, 1, 2, 4, 10, 40)))


_EDITS: tuple[_Edit, ...] = (
    _delete_lines,
    _repeat_lines,
    _move_lines,
    _insert_lines,
    _insert_lines,
    _splice,
    _insert_setting,
    _replace_value,
    _replace_value,
    _replace_word,
    _replace_word,
    _replace_number,
    _insert_word,
    _insert_odd,
    _delete_span,
    _repeat_span,
    _nest,
    _truncate,
    _indent,
)
