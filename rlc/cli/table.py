"""Rows of text in columns, for verbs that list what there is."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.printable import display_width


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows with their columns lined up, two spaces between them; the last one is as long as it likes."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)] if rows else []
    lines: list[str] = []
    for row in rows:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(display_width, text))
