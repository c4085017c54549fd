"""What must hold of a layout: it is stable, and every comment is still there, in its order.

That values and statements stay is what the layout holds itself (an InternalError otherwise).
"""

from __future__ import annotations

import re
from pathlib import Path

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.format.source import format_source
from compiler.frontend.read import read_source
from compiler.frontend.starlark.tokens import tokenize

# A string of TOML, which may hold what looks like a comment, or a comment.
_TOML = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|(#[^\n]*)', re.DOTALL)


def layout_changes_nothing(path: Path) -> None:
    """Hold that a spec, if it has a layout, has one only, with all its comments."""
    source = read_source(path, str(path), named_at=None, reporter=Reporter())
    if source is None:
        return
    try:
        once = format_source(source, None)
    except SpecError:
        return
    laid_out = SourceFile(source.name, once)
    assert comments_of(laid_out) == comments_of(source), "a layout that changes comments"
    assert format_source(laid_out, None) == once, "a layout of a layout that is another one"


def comments_of(source: SourceFile) -> list[str]:
    """Return the comments of a text, without spaces at their ends."""
    if source.name.endswith(".star"):
        return [source.text[start:end].rstrip() for start, end in tokenize(source.text)[1]]
    return [found[1].rstrip() for found in _TOML.finditer(source.text) if found[1] is not None]
