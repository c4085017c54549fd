"""A spec of either syntax laid out."""

from __future__ import annotations

from pathlib import Path

from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.format.starlark import format_starlark
from compiler.format.toml import format_toml
from compiler.frontend.toml import parse_tree


def format_source(source: SourceFile, cache: Path | None) -> str:
    """Return the text of a spec, laid out.  Raises: SpecError if its syntax is wrong.

    Args:
        cache: where trees of Starlark are kept between runs.
    """
    if source.name.endswith(".star"):
        return format_starlark(source, cache)
    reporter = Reporter()
    parse_tree(source, reporter)
    reporter.raise_errors()
    return format_toml(source.text)
