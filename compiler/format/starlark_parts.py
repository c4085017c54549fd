"""The tokens of a Starlark statement as words and bracketed groups, with the comments inside.

The tree of the parser says nothing of brackets that only hold a thing together, of how a number is spelt, or of
comments; tokens do, and brackets are all the structure that a layout needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.format.lines import width_of
from compiler.frontend.starlark.tokens import Token

_OPENING, _CLOSING = "([{", ")]}"
_VALUES = frozenset(("NAME", "INT", "FLOAT", "STRING", "BYTES"))
_UNARY = frozenset(("+", "-", "~", "*", "**"))
_PREFIX = "rb"

Kind = Literal["call", "index", "paren", "list", "dict"]


class Word(NamedTuple):
    """A token: its kind and its text, and whether it is a sign before its only operand."""

    kind: str
    text: str
    is_unary: bool = False


class Note(NamedTuple):
    """A comment; `is_alone` where it has a line of its own, `column` and `is_close` as in `lines.Line`."""

    text: str
    is_alone: bool
    column: int
    is_close: bool


class Member(NamedTuple):
    """What stands between two commas, the comments before it, and the one behind it."""

    parts: tuple[Part, ...]
    before: tuple[Note, ...] = ()
    behind: Note | None = None
    is_apart: bool = False


class Group(NamedTuple):
    """Brackets and what they hold.

    `comment` stands behind the opening bracket.  `has_comma` says that the last member has one behind it, `is_broken`
    that the lines between were broken as well: a comma at the end of a broken group asks to leave it so.
    """

    kind: Kind
    members: tuple[Member, ...]
    comment: Note | None
    has_comma: bool
    is_broken: bool
    is_comprehension: bool

    @property
    def brackets(self) -> str:
        """The opening and the closing one."""
        return "{}" if self.kind == "dict" else "[]" if self.kind in ("list", "index") else "()"

    @property
    def is_tuple(self) -> bool:
        """Whether its commas are what makes it a value of its own."""
        return self.kind == "paren" and (self.has_comma or len([m for m in self.members if m.parts]) > 1)


Part: TypeAlias = Word | Note | Group


class Comments:
    """The comments of a text, in order, each of which is taken once."""

    def __init__(self, text: str, places: Sequence[tuple[int, int]], tokens: Sequence[Token]) -> None:
        self.text = text
        ends = (text.rfind("\n", start, end) for kind, start, end, _ in tokens if kind in ("STRING", "BYTES"))
        self.lines_in_strings = {end + 1 for end in ends if end >= 0}
        self.places = places
        self.next = 0

    def before(self, offset: int) -> tuple[int, int] | None:
        """Take the next comment if it stands before an offset."""
        if self.next < len(self.places) and self.places[self.next][0] < offset:
            self.next += 1
            return self.places[self.next - 1]
        return None

    def note(self, place: tuple[int, int], *, after: int) -> Note:
        """Return a comment that follows what ends at an offset."""
        start, end = place
        line = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        is_string = start - len(line) in self.lines_in_strings
        margin = "" if is_string else line[: len(line) - len(line.lstrip(" \t\r\f"))]
        column = width_of(line) - width_of(margin)
        gap = len(line) - len(line.rstrip(" \t\r\f"))
        return Note(self.text[start:end].rstrip(), "\n" in self.text[after:start], column, gap <= 1)


class _Open:
    """A group that is being read; the outermost one is the statement itself."""

    def __init__(self, kind: Kind, start: int) -> None:
        self.kind = kind
        self.last_end = self.member_start = start
        self.members: list[Member] = []
        self.parts: list[Part] = []
        self.before: list[Note] = []
        self.comment: Note | None = None
        self.num_lambdas = 0
        self.is_broken = self.is_comprehension = self.is_apart = self.has_comma = False

    @property
    def is_split(self) -> bool:
        """Whether a comma ends a member here: those of a clause, and between parameters of a lambda, do not."""
        return not self.is_comprehension and self.num_lambdas == 0

    def end_member(self) -> None:
        if self.parts or self.before:
            self.members.append(Member(tuple(self.parts), tuple(self.before), None, self.is_apart))
        self.parts.clear()
        self.before.clear()
        self.is_apart = False

    def add_note(self, note: Note, *, ends_member: bool) -> None:
        if self.parts and not ends_member:
            self.parts.append(note)
        elif self.parts:
            self.end_member()
            self.members[-1] = self.members[-1]._replace(behind=note)
        elif note.is_alone or self.before:
            self.before.append(note)
        elif self.members and self.members[-1].parts and self.members[-1].behind is None:
            self.members[-1] = self.members[-1]._replace(behind=note)
        elif not self.members and self.comment is None:
            self.comment = note
        else:
            self.before.append(note)

    def closed(self) -> Group:
        self.end_member()
        return Group(
            self.kind, tuple(self.members), self.comment, self.has_comma, self.is_broken, self.is_comprehension
        )


def read_parts(text: str, tokens: Sequence[Token], comments: Comments) -> tuple[Part, ...]:
    """Return the words and groups of one statement."""
    stack = [_Open("paren", tokens[0][1])]
    for at, (kind, start, end, _) in enumerate(tokens):
        group = stack[-1]
        while (place := comments.before(start)) is not None:
            note = comments.note(place, after=group.last_end)
            ends_member = kind in _CLOSING or (kind == "," and group.is_split)
            is_behind = ends_member if group.parts else bool(group.members)
            if len(stack) > 1 and is_behind and _is_inside_a_line(text, group.member_start):
                # What it is about gets a line of its own: its column says nothing.
                note = note._replace(column=0, is_close=True)
            if note.is_alone and not group.parts and not group.before:
                group.is_apart |= bool(group.members) and text.count("\n", group.last_end, place[0]) > 1
            group.add_note(note, ends_member=ends_member)
            group.is_broken = True
            group.last_end = place[1]
        if len(stack) > 1:
            num_breaks = text.count("\n", group.last_end, start)
            group.is_broken |= num_breaks > 0
            if num_breaks > 1 and not group.parts and not group.before:
                group.is_apart |= bool(group.members)
        group.last_end = end
        if not group.parts and kind != "," and kind not in _CLOSING:
            group.member_start = start
        if kind in _OPENING:
            stack.append(_Open(_kind(kind, group.parts), end))
        elif kind in _CLOSING:
            stack.pop()
            stack[-1].parts.append(group.closed())
            stack[-1].last_end = end
        elif kind == "," and len(stack) > 1 and group.is_split:
            if group.parts:
                group.end_member()
            group.has_comma = tokens[at + 1][0] in _CLOSING
        else:
            group.is_comprehension |= kind == "for" and len(stack) > 1
            group.num_lambdas += (kind == "lambda") - (kind == ":" and group.num_lambdas > 0)
            is_unary = kind in _UNARY and not _is_value(group.parts)
            group.parts.append(Word(kind, _plain(kind, text[start:end]), is_unary))
    return tuple(stack[0].parts)


def _is_inside_a_line(text: str, offset: int) -> bool:
    return bool(text[text.rfind("\n", 0, offset) + 1 : offset].strip())


def _kind(bracket: str, before: Sequence[Part]) -> Kind:
    if bracket == "{":
        return "dict"
    if bracket == "[":
        return "index" if _is_value(before) else "list"
    loads = bool(before) and isinstance(last := before[-1], Word) and last.kind == "load"
    return "call" if loads or _is_value(before) else "paren"


def _is_value(before: Sequence[Part]) -> bool:
    """Whether a value has just ended, so that a sign or a bracket goes on from it."""
    last = next((part for part in reversed(before) if not isinstance(part, Note)), None)
    return isinstance(last, Group) or (isinstance(last, Word) and last.kind in _VALUES)


def _plain(kind: str, text: str) -> str:
    """Text in double quotes, where that changes no character of it."""
    if kind not in ("STRING", "BYTES") or '"' in text:
        return text
    prefix = text[: len(text) - len(text.lstrip(_PREFIX))]
    quoted = text[len(prefix) :]
    quote = "'''" if quoted.startswith("'''") and len(quoted) > 5 else "'"
    return prefix + '"' * len(quote) + quoted[len(quote) : -len(quote)] + '"' * len(quote)
