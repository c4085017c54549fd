"""What `rlc plan FILE.star` shows where the file holds several experiments: their names, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from compiler.compile import Compiled
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.printable import printable
from compiler.explain import literal
from compiler.ir.canonical import dump
from compiler.ir.json_text import Json
from compiler.ir.paths import leaves
from compiler.ir.subject import Subject
from rlc.cli.output import Output

_MOST_FIELDS = 8
_LONGEST = 24
_HASH = 12


class _Row(NamedTuple):
    """An experiment: its name, the fields in which it differs from the first, and the hash of its plan."""

    name: str
    differs: Mapping[str, str]
    hash: str


def list_experiments(path: Path, compiled_ones: Iterable[tuple[str, Compiled]], output: Output) -> int:
    """Print one line for each experiment of a file, and return the exit code."""
    rows: list[_Row] = []
    found: list[Diagnostic] = []
    first: dict[str, str] = {}
    said: set[str] = set()
    for name, compiled in compiled_ones:
        found += compiled.diagnostics
        values = _values(compiled.subject)
        first = first or values
        differs = {key: values.get(key, "-") for key in (*values, *first) if values.get(key) != first.get(key)}
        said |= _written(compiled.subject)
        rows.append(_Row(name, differs, compiled.plan.hash[:_HASH] if compiled.plan is not None else "has errors"))
    code = output.diagnostics(tuple(dict.fromkeys(found)))
    fields = _fields(rows, said)
    lines = _lines(rows, fields[:_MOST_FIELDS], first)
    if len(fields) > _MOST_FIELDS:
        lines.append(f"and {len(fields) - _MOST_FIELDS} more fields in which they differ")
    lines += ["", f"{len(rows):,} experiments; rlc plan {path}:NAME shows one"]
    output.result("\n".join(printable(line, ascii_only=output.result_ascii_only).rstrip() for line in lines))
    return code


def print_plans(compiled_ones: Iterable[tuple[str, Compiled]], output: Output) -> int:
    """Print one JSON object with the plan of each experiment under its name; nothing if one of them has an error."""
    plans: dict[str, Json] = {}
    found: list[Diagnostic] = []
    for name, compiled in compiled_ones:
        found += compiled.diagnostics
        if compiled.plan is not None:
            plans[name] = compiled.plan.to_json()
    code = output.diagnostics(tuple(dict.fromkeys(found)))
    if code == 0:
        output.result(dump(plans))
    return code


def _values(subject: Subject | None) -> dict[str, str]:
    """Each field of an experiment as a spec would write it, by the path that a person writes."""
    if subject is None:
        return {}
    found = leaves(subject.experiment)
    return {subject.shown(path): literal(value) for path, value in found if path not in ("name", "stages")}


def _written(subject: Subject | None) -> set[str]:
    """The fields that somebody wrote; what the compiler made of them only follows."""
    if subject is None:
        return set()
    return {subject.shown(path) for path, origin in subject.origins.items() if origin.span is not None}


def _fields(rows: Sequence[_Row], said: set[str]) -> list[str]:
    found = dict.fromkeys(key for row in rows for key in row.differs)
    return [key for key in found if key in said] or list(found)


def _lines(rows: Sequence[_Row], fields: Sequence[str], first: Mapping[str, str]) -> list[str]:
    table = [("name", *fields, "plan")]
    for row in rows:
        values = (row.differs.get(field, first.get(field, "-")) for field in fields)
        table.append((row.name, *(_cut(value) for value in values), row.hash))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in table]


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}..."
