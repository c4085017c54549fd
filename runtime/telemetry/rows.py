"""The metrics row: one flat record of a step or of an evaluation, and its text form.

Two runs of one plan write the same rows byte by byte, except for what a clock measured, and all of that has keys under
`time/`.  So the text of a row is fixed here: the order of its keys, the shortest form of a number, null for a number
that is not finite.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

Row = Mapping[str, float | int | str]

_LEADING = ("stage", "step", "global_step")


def encode_row(row: Row) -> bytes:
    """Return the row as one line of JSON with its newline.  Raises: TypeError if a value is no number and no text."""
    leading = [key for key in _LEADING if key in row]
    keys = leading + sorted(key for key in row if key not in _LEADING)
    plain = {key: _jsonable(row[key]) for key in keys}
    return (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; a number that was not finite comes back as NaN.

    A last line without its newline is what a kill left of a write, and is not counted.

    Raises: SpecError RLC0652 if another line is not a row.
    """
    rows: list[Row] = []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
        try:
            parsed = json.loads(line)
        except ValueError as fault:
            raise SpecError(_unreadable(path, number)) from fault
        if not isinstance(parsed, dict) or not parsed.keys() >= set(_LEADING):
            raise SpecError(_unreadable(path, number))
        rows.append({key: math.nan if value is None else value for key, value in parsed.items()})
    return rows


def is_evaluation(row: Row) -> bool:
    """Whether the row is that of an evaluation rather than of a step."""
    return any(key.startswith("eval/") for key in row)


def number_at(row: Row, key: str) -> float | None:
    """Return a finite number of the row, or None where it has none under this key."""
    value = row.get(key)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def evaluation_sets(row: Row) -> list[str]:
    """Return the names of the held-out sets that the row measures, in alphabetical order."""
    return sorted({key.split("/")[1] for key in row if key.startswith("eval/") and key.count("/") >= 2})


def metrics_over_samples(row: Row, name: str) -> list[str]:
    """Return what the row measures of several responses of a held-out set, as `pass@4`, by kind and then by number."""
    start = f"eval/{name}/"
    kinds = [key.removeprefix(start) for key in row if key.startswith(start) and "@" in key]
    found = [kind.partition("@") for kind in kinds if not kind.endswith(("_low", "_high"))]
    return [f"{kind}@{size}" for kind, _, size in sorted(found, key=lambda part: (part[0], int(part[2])))]


def metrics_of_answers(row: Row, name: str) -> tuple[str, ...]:
    """Return what the row measures of a set whose answers are there: of pairs, or of answers with scores."""
    if f"eval/{name}/num_pairs" in row:
        return ("accuracy", "loss", "margin")
    return ("mse", "pearson", "spearman") if f"eval/{name}/num_rows" in row else ()


def _jsonable(value: float | int | str) -> float | int | str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"a metric is a number or a text, not {type(value).__name__}")
    return value


def _unreadable(path: Path, number: int) -> Diagnostic:
    return Diagnostic(
        code="RLC0652",
        message=f"line {number} of {path} is not a metrics row",
        help=(Help("restore the file, or start the run again in an empty run directory"),),
    )
