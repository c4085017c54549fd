"""What `rlc plan SPEC --what-if PATH=VALUE` prints for people: two plans in columns, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from compiler.diagnostics.printable import printable
from rlc.cli.table import aligned
from rlc.what_if import Amount, Difference, WhatIf, shown_value

_DIGITS = 12
_LONGEST_VALUE = 32
_LONGEST_PATH = 52
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def what_if_text(found: WhatIf, *, ascii_only: bool) -> str:
    """Return the page: which plans, what is predicted of both, and each difference with its reason."""
    lines = [
        f"as it is  plan {found.old.plan.hash[:_DIGITS]}  {found.old.name}",
        f"what if   plan {found.new.plan.hash[:_DIGITS]}  {', '.join(found.asked)}",
    ]
    for group, amounts in groupby(found.amounts, key=lambda amount: amount.group):
        rows = [(group, "as it is", "what if", "ratio"), *map(_amount_row, amounts)]
        lines += ["", *aligned(rows).splitlines()]
    lines += ["", *_differences(found)]
    return "\n".join(printable(line, ascii_only=ascii_only).rstrip() for line in lines) + "\n"


def _amount_row(amount: Amount) -> tuple[str, str, str, str]:
    ratio = "" if amount.ratio is None else f"x {amount.ratio:.2f}"
    unit = "" if amount.unit != "bytes" and amount.name.endswith(amount.unit) else amount.unit
    return f"  {amount.name.removesuffix(' bytes')}", _size(amount.old, unit), _size(amount.new, unit), ratio


def _size(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit != "bytes":
        return f"{value:,.6g} {unit}".rstrip() if value < 1e6 else f"{value:,.0f} {unit}".rstrip()
    of, name = next(((of, name) for of, name in _UNITS if value >= of), (1, "B"))
    return f"{value / of:,.1f} {name}" if of > 1 else f"{value:,.0f} B"


def _differences(found: WhatIf) -> Iterator[str]:
    if not found.differences:
        yield "no field of the plan differs"
        return
    rows = [("differences", "as it is", "what if", "because")]
    for one in found.differences:
        path = f"  {one.path}" if one.is_cause else f"    {one.path}"
        if len(path) > _LONGEST_PATH:  # on a line of its own
            rows.append((path, "", "", ""))
            path = ""
        rows.append((path, _value(one.old), _value(one.new), _because(one)))
    width = max(len(row[0]) for row in rows if len(row[0]) <= _LONGEST_PATH)
    short = aligned([(row[0] if len(row[0]) <= _LONGEST_PATH else " " * width, *row[1:]) for row in rows]).splitlines()
    for row, line in zip(rows, short, strict=True):
        yield row[0] if len(row[0]) > _LONGEST_PATH else line


def _value(value: object) -> str:
    text = shown_value(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _because(one: Difference) -> str:
    outside = "" if one.in_hash else "   (outside the hash)"
    if one.inputs and one.by:
        return f"from {', '.join(one.inputs)}, by {one.by}{outside}"
    return f"{one.reason}{outside}"
