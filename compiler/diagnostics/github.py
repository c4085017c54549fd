"""Diagnostics as annotations of GitHub Actions: lines that a job prints, and that are then shown in the change.

Source: GitHub's workflow commands; columns count from 1, an end column is the last one, and belongs to a single line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from compiler.diagnostics.diagnostic import Diagnostic

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render_github(diagnostics: Iterable[Diagnostic], specs: Mapping[Diagnostic, str] | None = None) -> str:
    """Return one line for each diagnostic, joined, without a line break at the end.

    Args:
        specs: the specs of diagnostics that are about a whole file.
    """
    return "\n".join(annotation(found, (specs or {}).get(found, "")) for found in diagnostics)


def annotation(diagnostic: Diagnostic, spec: str = "") -> str:
    """Return the line of one diagnostic; what is said of other places stands in its message."""
    primary = next((label for label in diagnostic.labels if label.is_primary), None)
    properties: dict[str, str] = {"file": spec} if spec else {}
    message = [diagnostic.message]
    if primary is not None:
        file = primary.span.file
        line, column = file.position(primary.span.start)
        end_line, end_column = file.position(max(primary.span.start, primary.span.end - 1))
        properties = {"file": file.name, "line": str(line), "endLine": str(end_line)}
        if line == end_line:
            properties |= {"col": str(column), "endColumn": str(end_column)}
        message += [primary.text] if primary.text else []
    for label in diagnostic.labels:
        if label is not primary:
            message.append(f"{label.span.file.name}:{label.span.line}: {label.text}")
    message += [f"help: {way.text}" for way in diagnostic.help]
    properties["title"] = diagnostic.code + (f" ({diagnostic.rule})" if diagnostic.rule else "")
    shown = ",".join(f"{key}={_in_property(value)}" for key, value in properties.items())
    return f"::{_COMMANDS[diagnostic.severity]} {shown}::{_in_message(chr(10).join(message))}"


def _in_message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _in_property(text: str) -> str:
    return _in_message(text).replace(":", "%3A").replace(",", "%2C")
