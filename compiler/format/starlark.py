"""A Starlark file laid out.

Four spaces a block, one statement a line, text in double quotes, spaces around the equals sign of an argument, two
blank lines around functions of a file and one around those in them.  Comments, brackets, and the spelling of numbers
stay.  Line breaks and the byte-order mark are treated as in TOML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import InternalError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile
from compiler.format.lines import INDENT, Line, joined
from compiler.format.starlark_layout import statement_lines, with_note
from compiler.format.starlark_parts import Comments, read_parts
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.tokens import Token, tokenize

_HEADS = frozenset(("def", "if", "elif", "else", "for"))


class _Entry(NamedTuple):
    """A statement without its blocks, or a comment on its own line.

    `num_blank` blank lines stood before it; `word` is its first, or `#`.
    """

    depth: int
    lines: list[Line]
    num_blank: int
    word: str


def format_starlark(source: SourceFile, cache: Path | None) -> str:
    """Return a Starlark text, laid out.  Raises: SpecError if it is none.

    Args:
        cache: where trees are kept between runs, as for `parse_file`.
    """
    before = parse_file(source, cache)
    entries = list(_Reader(source.text).entries())
    lines: list[Line] = []
    for entry, num_blank in zip(entries, _blank_lines(entries), strict=True):
        lines += [Line("")] * num_blank + entry.lines
    result = joined(lines)
    if shape_of(parse_file(SourceFile(source.name, result), cache)) != shape_of(before):
        raise InternalError("the layout of a Starlark text would change what it says")
    return result


def shape_of(node: object) -> str:
    """Return a tree as text without the places of its nodes: what a layout must not change."""
    if not isinstance(node, tuple):
        return repr(node)
    rule, _, _, *children = node
    return f"{rule}({','.join(map(shape_of, children))})"


class _Reader:
    """The statements of a text with what stands between them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens, places = tokenize(text)
        self.comments = Comments(text, places, self.tokens)
        self.end = 0
        self.margins = [0]
        self.last_margins = [0]

    def entries(self) -> Iterator[_Entry]:
        run: list[Token] = []
        for token in self.tokens:
            kind = token[0]
            if kind == "INDENT":
                self.margins.append(self.margin_of(token[1]))
            elif kind == "DEDENT":
                self.margins.pop()
            elif kind != "NEWLINE":
                if not run:
                    yield from self.notes(token[1], len(self.margins) - 1)
                run.append(token)
            else:
                yield from self.statements(run)
                run = []
        yield from self.notes(len(self.text) + 1, 0)

    def notes(self, until: int, depth: int) -> Iterator[_Entry]:
        """Comments between statements: in the block that their indentation says, if it is open here."""
        inner = max(depth, len(self.last_margins) - 1)
        while (place := self.comments.before(until)) is not None:
            margin = self.margin_of(place[0])
            while inner > depth and self.last_margins[inner] > margin:
                inner -= 1
            text = self.text[place[0] : place[1]].rstrip()
            yield self.entry(inner, [Line("", " " * (INDENT * inner) + text)], place, "#")

    def statements(self, run: Sequence[Token]) -> Iterator[_Entry]:
        depth = len(self.margins) - 1
        self.last_margins = list(self.margins)
        pieces = list(_pieces(run))
        for nth, (inner, tokens) in enumerate(pieces):
            lines = statement_lines(read_parts(self.text, tokens, self.comments), depth + inner)
            end = tokens[-1][2]
            line_end = self.text.find("\n", run[-1][2])
            is_last = nth == len(pieces) - 1
            place = self.comments.before(line_end if line_end >= 0 else len(self.text) + 1) if is_last else None
            if place is not None:
                note = self.comments.note(place, after=end)
                # Where one line became several, the comment's column says nothing.
                note = note._replace(column=0, is_close=True) if nth else note
                lines[-1] = with_note(lines[-1], note)
                end = place[1]
            yield self.entry(depth + inner, lines, (tokens[0][1], end), tokens[0][0])

    def entry(self, depth: int, lines: list[Line], place: tuple[int, int], word: str) -> _Entry:
        num_blank = max(0, self.text.count("\n", self.end, place[0]) - 1)
        self.end = place[1]
        return _Entry(depth, lines, num_blank, word)

    def margin_of(self, offset: int) -> int:
        return offset - self.text.rfind("\n", 0, offset) - 1


def _pieces(run: Sequence[Token]) -> Iterator[tuple[int, Sequence[Token]]]:
    """The statements of one line, with how much deeper they belong: `if a: b; c` is three."""
    inner = start = 0
    level = num_lambdas = 0
    is_head = run[0][0] in _HEADS
    for at, (kind, *_) in enumerate(run):
        level += (kind in ("(", "[", "{")) - (kind in (")", "]", "}"))
        if level:
            continue
        num_lambdas += kind == "lambda"
        if kind == ":" and num_lambdas:
            num_lambdas -= 1
        elif kind == ":" and is_head:
            yield inner, run[start : at + 1]
            start, inner, is_head = at + 1, 1, False
        elif kind == ";":
            yield inner, run[start:at]
            start = at + 1
    if start < len(run):
        yield inner, run[start:]


def _blank_lines(entries: Sequence[_Entry]) -> list[int]:
    """How many blank lines stand before each entry."""
    found: list[int] = []
    functions: list[int] = []
    for at, entry in enumerate(entries):
        most = 2 if entry.depth == 0 else 1
        before = entries[at - 1] if at else None
        ends_function = bool(functions) and functions[-1] >= entry.depth
        while functions and functions[-1] >= entry.depth:
            functions.pop()
        if before is None or entry.word in ("elif", "else") or (before.word in _HEADS and before.depth < entry.depth):
            num_blank = 0
        elif ends_function or (_begins_function(entries, at) and not (before.word == "#" and entry.num_blank == 0)):
            num_blank = most
        else:
            num_blank = min(entry.num_blank, most)
        if entry.word == "def":
            functions.append(entry.depth)
        found.append(num_blank)
    return found


def _begins_function(entries: Sequence[_Entry], at: int) -> bool:
    """Whether a function begins here, or comments that belong to one."""
    depth = entries[at].depth
    for entry in entries[at:]:
        if entry.depth != depth or (entry is not entries[at] and entry.num_blank):
            return False
        if entry.word != "#":
            return entry.word == "def"
    return False
