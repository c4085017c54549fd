"""Diagnostics as SARIF 2.1.0, which code scanners and editors read.

Every code that was raised is a rule of the report, with its page as help; the labels of a diagnostic are one location
and its related ones, and what a tool can apply is left to `rlc check --fix`.  Columns count code points from 1.
Source: OASIS Static Analysis Results Interchange Format, version 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Label
from compiler.diagnostics.json_ import JsonValue
from compiler.diagnostics.page import Page

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(
    diagnostics: Sequence[Diagnostic], pages: Iterable[Page], specs: Mapping[Diagnostic, str] | None = None
) -> str:
    """Return a report of one run, in ASCII, without a line break at the end.

    Args:
        pages: the pages of all codes; those that were raised become rules.
        specs: the specs of diagnostics that are about a whole file: code scanning drops a result without a location.
    """
    raised = {diagnostic.code for diagnostic in diagnostics}
    rules = [page for page in pages if page.code in raised]
    index = {page.code: at for at, page in enumerate(rules)}
    driver: dict[str, JsonValue] = {"name": "rlc", "rules": [_rule(page) for page in rules]}
    run: dict[str, JsonValue] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(found, index, (specs or {}).get(found, "")) for found in diagnostics],
    }
    return json.dumps({"$schema": SCHEMA, "version": VERSION, "runs": [run]}, indent=2)


def _rule(page: Page) -> JsonValue:
    found: dict[str, JsonValue] = {
        "id": page.code,
        "shortDescription": {"text": page.title},
        "help": {"text": page.text, "markdown": page.text},
    }
    if page.rule:
        found["name"] = page.rule
    if page.id:
        found["properties"] = {"catalogue_id": page.id}
    return found


def _result(diagnostic: Diagnostic, index: dict[str, int], spec: str) -> JsonValue:
    primary = next((label for label in diagnostic.labels if label.is_primary), None)
    others = [label for label in diagnostic.labels if label is not primary]
    helps = "".join(f"\nhelp: {way.text}" for way in diagnostic.help)
    found: dict[str, JsonValue] = {
        "ruleId": diagnostic.code,
        "level": diagnostic.severity,
        "message": {"text": diagnostic.message + helps},
    }
    if diagnostic.code in index:
        found["ruleIndex"] = index[diagnostic.code]
    if primary is not None:
        found["locations"] = [_location(primary)]
    elif spec:
        found["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(spec)}}}]
    if others:
        found["relatedLocations"] = [{"id": at, **_location(label)} for at, label in enumerate(others, 1)]
    return found


def _location(label: Label) -> dict[str, JsonValue]:
    line, column = label.span.file.position(label.span.start)
    end_line, end_column = label.span.file.position(label.span.end)
    region: dict[str, JsonValue] = {
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
    }
    found: dict[str, JsonValue] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(label.span.file.name)}, "region": region}
    }
    if label.text:
        found["message"] = {"text": label.text}
    return found


def _uri(name: str) -> str:
    """A path as a reference: what a URI reserves is escaped byte by byte."""
    plain = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")
    return "".join(c if c in plain else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "replace")) for c in name)
