"""Lines with comments behind them, laid out.

A comment behind a line keeps the column that it had, since people line comments up across a file; those that stood in
one column move together where the code before one of them has grown.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.named_tuple import NamedTuple

WIDTH = 100
INDENT = 4
GAP = 2


class Line(NamedTuple):
    """One line: its code with indentation, which may hold the line breaks of a string, and the comment behind it.

    `column` is where the comment stood, `is_close` whether one space was before it.
    """

    code: str
    comment: str = ""
    column: int = 0
    is_close: bool = True

    def with_comment(self, text: str, column: int, *, is_close: bool) -> Line:
        """Return the line with a comment behind it, whose column counts from where the line's code begins."""
        last = self.code.rpartition("\n")[2]
        # A line that begins inside a string has no indentation of its own.
        margin = 0 if "\n" in self.code else len(last) - len(last.lstrip(" "))
        return Line(self.code, text, margin + column, is_close)


def joined(lines: Sequence[Line]) -> str:
    """Return the text of lines: none of them blank at either end, at most two of them blank in a row."""
    block: list[Line] = []
    found: list[str] = []
    num_blank = 0
    for line in (*lines, Line("")):
        if line.code or line.comment:
            if not block and found:
                found += [""] * min(num_blank, 2)
            block.append(line)
            num_blank = 0
            continue
        found += _block(block)
        block = []
        num_blank += 1
    return "\n".join(found) + "\n" if found else ""


def width_of(text: str) -> int:
    """Return the width of what stands on the last line of a text, tabs at every fourth column."""
    return len(text.rpartition("\n")[2].expandtabs(INDENT))


def fits(text: str) -> bool:
    """Whether each line of a text is narrow enough."""
    return all(len(line) <= WIDTH for line in text.split("\n"))


def _block(lines: Sequence[Line]) -> list[str]:
    """Lines without a blank one between them."""
    columns: dict[int, list[Line]] = {}
    for line in lines:
        if line.code and line.comment:
            columns.setdefault(line.column, []).append(line)
    placed: dict[int, int] = {}
    for column, group in columns.items():
        if len(group) > 1 or not group[0].is_close:
            placed[column] = max(column, *(width_of(line.code) + GAP for line in group))
    found: list[str] = []
    for line in lines:
        code = line.code
        if line.code and line.comment:
            code += " " * max(GAP, placed.get(line.column, 0) - width_of(code))
        found.append(code + line.comment)
    return found
