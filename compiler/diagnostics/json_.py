"""A diagnostic as JSON for a tool: the record itself, with places as lines and columns.

Lines and columns count from 1, columns in code points; an end is behind the last character.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


def record(diagnostic: Diagnostic) -> dict[str, JsonValue]:
    """Return the diagnostic as a JSON object; its keys are the same for each diagnostic."""
    return {
        "code": diagnostic.code,
        "rule": diagnostic.rule,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "labels": [_label(label) for label in diagnostic.labels],
        "help": [_way(way) for way in diagnostic.help],
    }


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Return a JSON array of records, in ASCII, without a line break at the end."""
    return json.dumps([record(diagnostic) for diagnostic in diagnostics], indent=2)


def _way(way: Help) -> JsonValue:
    return {
        "text": way.text,
        "set": dict(way.sets),
        "unset": list(way.unsets),
        "rename": way.renamed or None,
        "remove": way.removes,
        "replace": way.replaced or None,
    }


def _label(label: Label) -> JsonValue:
    line, column = label.span.file.position(label.span.start)
    end_line, end_column = label.span.file.position(label.span.end)
    return {
        "path": label.span.file.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "text": label.text,
        "primary": label.is_primary,
    }
