"""A diagnostic as text for a person: what is wrong, the lines of the spec with marks under them, and the ways out.

Columns are those of a terminal: tabs go to the next multiple of four, wide characters take two, combining ones none.
What a terminal would obey instead of showing (escapes, direction marks) is shown as a replacement character.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.printable import display_width, is_hidden, printable
from compiler.diagnostics.span import SourceFile

WIDTH = 120
TAB = 4

_RESET = "\x1b[0m"
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}
_BOLD = "\x1b[1m"
_GUTTER = "\x1b[34m"
_SECONDARY = "\x1b[36m"
_BOX = ("\u250c\u2500", "\u2502", "\u22ee", "\u2026")
_ASCII_BOX = ("-->", "|", ":", "...")
_MIN_GUTTER = 2
_CONTEXT = 12
_LONG_LINE = 4096


def render(diagnostic: Diagnostic, *, color: bool, ascii_only: bool, width: int = WIDTH) -> str:
    """Return the lines of a diagnostic, joined, without a line break at the end.

    Args:
        color: whether to write ANSI colours.
        ascii_only: draw with ASCII, and write other characters as `?` in source lines and as escapes elsewhere.
        width: columns of the terminal; longer source lines are cut around their labels.
    """
    return "\n".join(_Writer(diagnostic, color=color, ascii_only=ascii_only, width=width).lines())


class _Cells(NamedTuple):
    """What each character of a line shows, the column at which it begins, from 0, and the width of the line."""

    shown: Sequence[str]
    columns: Sequence[int]
    width: int

    def column(self, at: int) -> int:
        """The column of a character; that behind the line for those that are not there."""
        return self.columns[at] if at < len(self.columns) else self.width


class _Piece(NamedTuple):
    """A label laid on its first line: columns from 0, `end` behind the last one."""

    start: int
    end: int
    label: Label


class _Writer:
    def __init__(self, diagnostic: Diagnostic, *, color: bool, ascii_only: bool, width: int) -> None:
        self.diagnostic = diagnostic
        self.color = color
        self.ascii_only = ascii_only
        self.corner, self.bar, self.gap, self.cut = _ASCII_BOX if ascii_only else _BOX
        numbers = [label.span.line for label in diagnostic.labels]
        self.gutter = max(_MIN_GUTTER, len(str(max(numbers, default=0))))
        self.room = max(20, width - self.gutter - 3)
        self.severity_color = _COLORS[diagnostic.severity]

    def lines(self) -> list[str]:
        found = self.diagnostic
        head = self.painted(f"{found.severity}[{found.code}]", self.severity_color)
        lines = [head + self.painted(f": {self.words(found.message)}", _BOLD)]
        for file, labels in _by_file(found.labels):
            lines.append(" " * self.gutter + self.painted(self.corner, _GUTTER) + " " + self.words(file.name))
            lines += self.file_lines(file, labels)
        indent = " " * (self.gutter + 1)
        for way in found.help:
            first, *more = way.text.split("\n")
            lines.append(f"{indent}{self.painted('= help:', _BOLD)} {self.words(first)}")
            lines += [f"{indent}        {self.words(line)}" for line in more]
        rule = f"   ({found.rule})" if found.rule else ""
        lines.append(self.painted(f"{indent}explain: rlc explain {found.code}{rule}", _GUTTER))
        return lines

    def file_lines(self, file: SourceFile, labels: list[Label]) -> list[str]:
        by_line: dict[int, list[Label]] = {}
        for label in labels:
            by_line.setdefault(label.span.line, []).append(label)
        lines: list[str] = []
        before = 0
        for number in sorted(by_line):
            if before and number > before + 1:
                lines.append(" " * (self.gutter + 1) + self.painted(self.gap, _GUTTER))
            lines += self.line_with_marks(file, number, by_line[number])
            before = number
        return lines

    def line_with_marks(self, file: SourceFile, number: int, labels: list[Label]) -> list[str]:
        line = file.line(number)
        if len(line) <= _LONG_LINE:
            return self.rows(number, line, labels)
        # Nobody sees most of such a line: each label gets its own part, and the rest is not even laid out.
        lines: list[str] = []
        for label in sorted(labels, key=lambda label: label.span.start):
            column = file.position(label.span.start)[1] - 1
            skipped = max(0, column - self.room * 4)
            lines += self.rows(number, line[skipped : column + self.room * 4], [label], skipped=skipped)
        return lines

    def rows(self, number: int, line: str, labels: list[Label], *, skipped: int = 0) -> list[str]:
        """One line of a text, or what is left of it after some skipped characters, with its marks."""
        cells = self.cells(line)
        total = cells.width
        pieces = [self.piece(cells, label, skipped) for label in labels]
        pieces.sort(key=lambda piece: piece[:2])
        groups = [(0, total, pieces)] if total <= self.room else self.windows(pieces, total)
        lines: list[str] = []
        for start, end, group in groups:
            lines.append(f"{self.edge(str(number))} {self.excerpt(cells, start, end)}".rstrip())
            shift = len(self.cut) if start else 0
            lines += [self.mark(piece, start - shift, end) for piece in group]
        return lines

    def windows(self, pieces: list[_Piece], total: int) -> list[tuple[int, int, list[_Piece]]]:
        """Cut a long line around its pieces; those that fit together share one excerpt."""
        size = self.room - 2 * len(self.cut)
        groups: list[tuple[int, int, list[_Piece]]] = []
        for piece in pieces:
            if groups and min(piece.end, piece.start + _CONTEXT) <= groups[-1][1]:
                groups[-1][2].append(piece)
                continue
            length = min(piece.end - piece.start, size)
            start = max(0, piece.start - min(_CONTEXT, size - length))
            start = max(0, min(start, total - size))
            groups.append((start, min(total, start + size), [piece]))
        return groups

    def piece(self, cells: _Cells, label: Label, skipped: int) -> _Piece:
        first = label.span.file.position(label.span.start)[1] - 1 - skipped
        start = cells.column(first)
        return _Piece(start, max(cells.column(first + label.span.end - label.span.start), start + 1), label)

    def mark(self, piece: _Piece, origin: int, window_end: int) -> str:
        label = piece.label
        begin = max(piece.start - origin, 0)
        length = max(1, min(piece.end, max(window_end, piece.start + 1)) - piece.start)
        text = self.words(label.text)
        last_line = label.span.file.position(max(label.span.start, label.span.end - 1))[0]
        if last_line > label.span.line:
            text = f"{text} (to line {last_line})".strip()
        marks = ("^" if label.is_primary else "-") * length + (f" {text}" if text else "")
        color = self.severity_color if label.is_primary else _SECONDARY
        return f"{self.edge('')} {' ' * begin}{self.painted(marks, color)}"

    def excerpt(self, cells: _Cells, start: int, end: int) -> str:
        """The characters that lie whole between two columns; half a wide one becomes a space."""
        if start == 0 and end >= cells.width:
            return "".join(cells.shown)
        shown: list[str] = [self.cut] if start else []
        for at in range(max(0, bisect_left(cells.columns, start) - 1), bisect_right(cells.columns, end)):
            column, after = cells.column(at), cells.column(at + 1)
            if start <= column and after <= end and not (column == after == start):
                shown.append(cells.shown[at])
            elif column < end and after > start:
                shown.append(" " * (min(after, end) - max(column, start)))
        if end < cells.width:
            shown.append(self.cut)
        return "".join(shown)

    def cells(self, line: str) -> _Cells:
        # Of plain text nothing needs to be laid out, which counts where a line has a thousand faults.
        if line.isascii() and line.isprintable():
            return _Cells(line, range(len(line)), len(line))
        pieces: list[str] = []
        columns: list[int] = []
        column = 0
        for char in line:
            shown, width = self.shown(char, column)
            pieces.append(shown)
            columns.append(column)
            column += width
        return _Cells(pieces, columns, column)

    def shown(self, char: str, column: int) -> tuple[str, int]:
        if char == "\t":
            width = TAB - column % TAB
            return " " * width, width
        if " " <= char <= "~":
            return char, 1
        if is_hidden(char):
            return ("?" if self.ascii_only else "\ufffd"), 1
        width = display_width(char)
        return ("?" * width if self.ascii_only else char), width

    def edge(self, number: str) -> str:
        return self.painted(f"{number:>{self.gutter}} {self.bar}", _GUTTER)

    def words(self, text: str) -> str:
        return printable(text, ascii_only=self.ascii_only)

    def painted(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if self.color else text


def _by_file(labels: tuple[Label, ...]) -> list[tuple[SourceFile, list[Label]]]:
    """The labels of each file, files in the order in which they are first named."""
    files: dict[SourceFile, list[Label]] = {}
    for label in labels:
        files.setdefault(label.span.file, []).append(label)
    return list(files.items())
