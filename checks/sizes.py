"""Limits on the length of files and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from checks.tree import SOURCE, Finding, Module, modules

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 80


def check(root: Path) -> Iterator[Finding]:
    """Yield files and functions that are longer than they may be."""
    for module in modules(root, *SOURCE):
        yield from _long_parts(module)


def largest_files(root: Path, *, most: int) -> list[tuple[int, str]]:
    """Return the longest source files as (lines, path), longest first."""
    return sorted(((num_lines(m), m.path) for m in modules(root, *SOURCE)), reverse=True)[:most]


def num_lines(module: Module) -> int:
    """Return how many lines a file has."""
    return len(module.text.splitlines())


def _long_parts(module: Module) -> Iterator[Finding]:
    lines = num_lines(module)
    if lines > MAX_FILE_LINES:
        yield Finding(module.path, 0, f"{lines} lines, at most {MAX_FILE_LINES}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield Finding(module.path, node.lineno, f"{node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}")
