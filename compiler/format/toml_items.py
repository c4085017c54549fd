"""A TOML text as items in the order in which they stand, with comments and what its layout says.

This reads only text that tomli has accepted: it finds where things end, and judges nothing.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.format.lines import width_of
from compiler.frontend.toml_spans import STRING


class Comment(NamedTuple):
    """A comment.  `column` counts from where the code before it begins; `is_close` says that one space was between."""

    text: str
    column: int = 0
    is_close: bool = True


class Blank(NamedTuple):
    """A line that says nothing."""


class Header(NamedTuple):
    """The header of a table, or of an element of an array of tables."""

    text: str
    comment: Comment | None


class Member(NamedTuple):
    """An element of an array, without a key, or a pair of an inline table."""

    key: str
    value: Value


class Row(NamedTuple):
    """Members on one line of an array, and the comment behind them; `is_apart` where a blank line was before."""

    members: tuple[Member, ...]
    comment: Comment | None = None
    is_apart: bool = False


class Container(NamedTuple):
    """An array or an inline table; `is_broken` where lines were broken between its members."""

    bracket: str
    rows: tuple[Row, ...]
    comment: Comment | None
    is_broken: bool

    @property
    def closing(self) -> str:
        """The bracket at its end."""
        return "]" if self.bracket == "[" else "}"


class Pair(NamedTuple):
    """A key and its value; `equals` is the column of the sign, `is_padded` whether several spaces were before it."""

    key: str
    value: Value
    comment: Comment | None
    equals: int
    is_padded: bool


Value: TypeAlias = str | Container
Item: TypeAlias = Blank | Comment | Header | Pair

_SPACE = re.compile(r"[ \t]*+")
_COMMENT = re.compile(r"#[^\n]*+")
_KEY_PART = re.compile(r"[A-Za-z0-9_-]++|" + STRING)
_SCALAR = re.compile(STRING + r"|(?:\d{4}-\d\d-\d\d[ ](?=\d))?[^\s,\[\]{}#\"']++")
_BARE = re.compile(r"[A-Za-z0-9_-]++")
_NEEDS_QUOTES = re.compile(r'["\\\x00-\x08\x0b-\x1f\x7f]')


def read_items(text: str) -> list[Item]:
    """Return the items of a text that tomli accepts, with single line feeds."""
    return _Reader(text).items()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line_in_string = -1

    def items(self) -> list[Item]:
        found: list[Item] = []
        while self.at < len(self.text):
            self.take(_SPACE)
            head = self.here()
            if head in ("\n", ""):
                found.append(Blank())
            elif head == "#":
                found.append(Comment(self.take(_COMMENT).rstrip()))
            elif head == "[":
                found.append(self.header())
            else:
                found.append(self.pair())
            self.take(_SPACE)
            self.at += 1
        return found

    def header(self) -> Header:
        width = 2 if self.text.startswith("[[", self.at) else 1
        self.at += width
        key = self.key()
        self.at += width
        return Header("[" * width + key + "]" * width, self.comment())

    def pair(self) -> Pair:
        start = self.at
        key = self.key(keeps_space=True)
        end = self.at
        self.take(_SPACE)
        equals = width_of(self.text[start : self.at])
        is_padded = self.at - end > 1
        self.at += 1
        self.take(_SPACE)
        value = self.value()
        return Pair(key, value, self.comment(), equals, is_padded)

    def key(self, *, keeps_space: bool = False) -> str:
        """A key with its dots; `keeps_space` leaves the space behind it to be read."""
        parts: list[str] = []
        while True:
            self.take(_SPACE)
            parts.append(_plain_key(self.take(_KEY_PART)))
            end = self.at
            self.take(_SPACE)
            if self.here() != ".":
                self.at = end if keeps_space else self.at
                return ".".join(parts)
            self.at += 1

    def value(self) -> Value:
        if self.here() in ("[", "{"):
            return self.container()
        text = self.take(_SCALAR)
        if "\n" in text:
            self.line_in_string = self.at - len(text.rpartition("\n")[2])
        return _plain_string(text)

    def container(self) -> Container:
        bracket = self.here()
        self.at += 1
        rows: list[Row] = []
        opening: Comment | None = None
        members: list[Member] = []
        num_breaks = 0
        is_apart = False
        while True:
            self.take(_SPACE)
            head = self.here()
            if head in ("]", "}"):
                break
            if head == "#":
                comment = self.comment()
                if num_breaks == 0 and opening is None and not members:
                    opening = comment
                else:
                    rows.append(Row(tuple(members), comment, is_apart and bool(rows)))
                    members.clear()
                    is_apart = False
            elif head == "\n":
                if members:
                    rows.append(Row(tuple(members), None, is_apart and bool(rows)))
                    members.clear()
                    is_apart = False
                elif rows:
                    is_apart |= self.is_blank_line()
                num_breaks += 1
                self.at += 1
            elif head == ",":
                self.at += 1
            else:
                members.append(self.member(bracket))
        if members:
            rows.append(Row(tuple(members), None, is_apart and bool(rows)))
        self.at += 1
        is_broken = num_breaks > 0 and (bool(rows) or opening is not None)
        return Container(bracket, tuple(rows), opening, is_broken)

    def member(self, bracket: str) -> Member:
        if bracket == "[":
            return Member("", self.value())
        key = self.key()
        self.at += 1
        self.take(_SPACE)
        return Member(key, self.value())

    def comment(self) -> Comment | None:
        """The comment behind what was read, if there is one."""
        self.take(_SPACE)
        if self.here() != "#":
            return None
        line = self.text[self.text.rfind("\n", 0, self.at) + 1 : self.at]
        # What begins inside a string has no indentation: its spaces are the string's.
        margin = "" if self.at - len(line) == self.line_in_string else line[: len(line) - len(line.lstrip(" \t"))]
        column = width_of(line) - width_of(margin)
        return Comment(self.take(_COMMENT).rstrip(), column, len(line) - len(line.rstrip(" \t")) <= 1)

    def is_blank_line(self) -> bool:
        """Whether only space stands between here and the line break before."""
        return not self.text[self.text.rfind("\n", 0, self.at) + 1 : self.at].strip()

    def here(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None, "tomli has accepted the text"
        self.at = found.end()
        return found[0]


def _plain_key(part: str) -> str:
    """A part of a key without quotes that it does not need."""
    if part[0] in "\"'" and _BARE.fullmatch(part, 1, len(part) - 1):
        return part[1:-1]
    return _plain_string(part)


def _plain_string(text: str) -> str:
    """Text in double quotes, where that changes no character of it; other scalars as they are."""
    if text[0] != "'" or text.startswith("'''") or _NEEDS_QUOTES.search(text):
        return text
    return f'"{text[1:-1]}"'
