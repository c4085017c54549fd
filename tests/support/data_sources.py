"""Sources of rows as a plan names them, for tests that read files without one."""

from __future__ import annotations

from typing import Any, Never

from compiler.ir.data import DemonstrationSource


def jsonl(path: str = "d.jsonl", **settings: Any) -> DemonstrationSource[Never]:
    """Return a file of JSON lines, to be read as prompts or as demonstrations."""
    return DemonstrationSource(path=path, format="jsonl", **settings)
