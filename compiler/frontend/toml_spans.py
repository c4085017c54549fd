"""Where each key and each value of a TOML text stands.

tomli decides what is TOML and what it means; this scanner only finds places.  It is made for text that tomli has
accepted: it recognises the end of a value by its shape and checks nothing else.  On other text it goes as far as the
text makes sense and then stops; `Places` says where, and which name was defined twice before that, so that a syntax
error can point at more than the character where a parser gave up.

Offsets count code points of a text whose line breaks are single line feeds.  The caller bounds the nesting.
"""

from __future__ import annotations

import re
from typing import Literal

import tomli

from compiler.diagnostics.named_tuple import NamedTuple

Origin = Literal["implied", "header", "dotted", "inline", "value", "list", "array"]


class Mark:
    """The place of one key and its value.

    `key_start` to `key_end` is the last part of the key, or the element itself in an array; `start` to `end` is the
    value: a header for the table under it, the key where a table is only implied.
    """

    __slots__ = ("end", "items", "key_end", "key_start", "members", "origin", "start")

    def __init__(self, key_start: int, key_end: int, origin: Origin) -> None:
        self.key_start = self.start = key_start
        self.key_end = self.end = key_end
        self.origin: Origin = origin
        self.members: dict[str, Mark] = {}
        self.items: list[Mark] = []


class Clash(NamedTuple):
    """A name that is defined twice: the offsets of both keys."""

    name: str
    first: tuple[int, int]
    second: tuple[int, int]


class Places(NamedTuple):
    """The marks of a text, and how far they go.

    `stopped_at` is None when the scan reached the end; `open_brackets` are the offsets of those not closed where it
    stopped, the innermost last.
    """

    root: Mark
    stopped_at: int | None
    open_brackets: tuple[int, ...]
    clash: Clash | None


def locate(text: str) -> Places:
    """Return the places of all keys and values, as far as the text makes sense."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except _StoppedError:
        return Places(scanner.root, scanner.at, tuple(scanner.open_brackets), scanner.clash)
    return Places(scanner.root, None, (), scanner.clash)


STRING = (
    r'"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+"{3,5}|'
    r"'''(?:[^']++|'(?!''))*+'{3,5}|"
    r'"(?!"")(?:[^"\\\n]++|\\[^\n])*+"|'
    r"'(?!'')[^'\n]*+'"
)

_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_SIMPLE_KEY = re.compile(r"([A-Za-z0-9_-]++)[ \t]*+=[ \t]*+")
_BARE_PART = re.compile(r"[A-Za-z0-9_-]++")
_QUOTED_PART = re.compile(r'"(?!"")(?:[^"\\\n]++|\\[^\n])*+"|' r"'(?!'')[^'\n]*+'")
_AFTER_PART = re.compile(r"[ \t]*+(\.?)[ \t]*+")
_SPACE = re.compile(r"[ \t]*+")
_EQUALS = re.compile(r"=[ \t]*+")
_SCALAR = re.compile(STRING + r"|(?:\d{4}-\d\d-\d\d[ ](?=\d))?[^\s,\[\]{}#\"']++")
_SEPARATOR = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+(,?)(?:[ \t\n]++|#[^\n]*+)*+")
_END_OF_LINE = re.compile(r"[ \t]*+(?:#[^\n]*+)?+(?:\n|\Z)")


class _StoppedError(Exception):
    """The text makes no sense from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.root = Mark(0, 0, "header")
        self.open_brackets: list[int] = []
        self.clash: Clash | None = None

    def document(self) -> None:
        text, size, table = self.text, len(self.text), self.root
        self.skip(_BLANK)
        while self.at < size:
            if text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_END_OF_LINE)
            self.skip(_BLANK)

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _StoppedError
        self.at = found.end()
        return found

    def header(self) -> Mark:
        start = self.at
        width = 2 if self.text.startswith("[[", start) else 1
        self.at += width
        *outer, (name, key_start, key_end) = self.key()
        table = self.root
        for part in outer:
            table = self.entered(table, part, origin="implied")
        mark = table.members.get(name)
        if mark is None:
            mark = table.members[name] = Mark(key_start, key_end, "header" if width == 1 else "array")
        elif mark.origin != ("array" if width == 2 else "implied"):
            self.note_clash(mark, name, key_start, key_end)
        if not self.text.startswith("]" * width, self.at):
            raise _StoppedError
        self.at += width
        if width == 2:
            element = Mark(key_start, key_end, "header")
            mark.items.append(element)
            if len(mark.items) == 1:
                mark.start, mark.end = start, self.at
            mark = element
        else:
            mark.key_start, mark.key_end, mark.origin = key_start, key_end, "header"
        mark.start, mark.end = start, self.at
        return mark

    def entered(self, table: Mark, part: tuple[str, int, int], *, origin: Origin) -> Mark:
        """The table that one step of a key leads to: of an array of tables, its newest element."""
        name, start, end = part
        mark = table.members.get(name)
        if mark is None:
            mark = table.members[name] = Mark(start, end, origin)
            return mark
        if mark.origin == "array":
            return mark.items[-1]
        closed = mark.origin in ("value", "list", "inline")
        if closed or (origin == "dotted" and mark.origin == "header"):
            self.note_clash(mark, name, start, end)
        return mark

    def key(self) -> list[tuple[str, int, int]]:
        parts: list[tuple[str, int, int]] = []
        self.skip(_SPACE)
        while True:
            start = self.at
            if self.text[start : start + 1] in ('"', "'"):
                raw = self.skip(_QUOTED_PART).group()
                name = _unquoted(raw)
            else:
                name = self.skip(_BARE_PART).group()
            parts.append((name, start, self.at))
            if not self.skip(_AFTER_PART).group(1):
                return parts

    def pair(self, table: Mark) -> None:
        simple = _SIMPLE_KEY.match(self.text, self.at)
        if simple is not None:
            name, (start, end) = simple[1], simple.span(1)
            self.at = simple.end()
        else:
            *outer, (name, start, end) = self.key()
            for part in outer:
                table = self.entered(table, part, origin="dotted")
            self.skip(_EQUALS)
        mark = Mark(start, end, "value")
        first = table.members.setdefault(name, mark)
        if first is not mark:
            self.note_clash(first, name, start, end)
        self.value(mark)

    def value(self, mark: Mark) -> None:
        mark.start = at = self.at
        head = self.text[at : at + 1]
        if head == "[":
            mark.origin = "list"
            self.elements(mark)
        elif head == "{":
            mark.origin = "inline"
            self.members(mark)
        else:
            self.skip(_SCALAR)
        mark.end = self.at

    def elements(self, mark: Mark) -> None:
        self.opened()
        while not self.text.startswith("]", self.at):
            element = Mark(self.at, self.at, "value")
            self.value(element)
            element.key_end = element.end
            mark.items.append(element)
            self.separated("]")
        self.closed()

    def members(self, mark: Mark) -> None:
        self.opened()
        while not self.text.startswith("}", self.at):
            self.pair(mark)
            self.separated("}")
        self.closed()

    def opened(self) -> None:
        self.open_brackets.append(self.at)
        self.at += 1
        self.skip(_BLANK)

    def separated(self, closing: str) -> None:
        if not self.skip(_SEPARATOR).group(1) and not self.text.startswith(closing, self.at):
            raise _StoppedError

    def closed(self) -> None:
        self.at += 1
        self.open_brackets.pop()

    def note_clash(self, first: Mark, name: str, start: int, end: int) -> None:
        if self.clash is None:
            self.clash = Clash(name, (first.key_start, first.key_end), (start, end))


def _unquoted(raw: str) -> str:
    if raw[0] == "'" or "\\" not in raw:
        return raw[1:-1]
    try:
        return str(tomli.loads("k = " + raw)["k"])
    except tomli.TOMLDecodeError:
        raise _StoppedError from None
