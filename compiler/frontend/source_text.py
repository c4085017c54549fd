"""A text as spans count it."""

from __future__ import annotations

from compiler.diagnostics.span import SourceFile

BOM = "\ufeff"


def source_file(name: str, text: str) -> SourceFile:
    """Return a source without a byte-order mark, and with single line feeds."""
    return SourceFile(name, text.removeprefix(BOM).replace("\r\n", "\n"))
