"""The changes that `--shrink` made, a line for each, as they stand behind a plan page."""

from __future__ import annotations

from compiler.diagnostics.printable import printable
from compiler.ir.openness import Auto, Off
from compiler.ir.shrunk import Shrunk
from compiler.ir.subject import toml_literal


def shrunk_list(shrunk: Shrunk, *, ascii_only: bool) -> str:
    """Return a line for each changed field, and one for each key that nothing here executes."""
    names = [change.path for change in shrunk.changes]
    sides = [f"{_literal(change.before)} -> {_literal(change.after)}" for change in shrunk.changes]
    wide, wider = (max(map(len, texts), default=0) for texts in (names, sides))
    lines = [
        f"shrunk: {name:<{wide}}  {side:<{wider}}  {change.why}"
        for name, side, change in zip(names, sides, shrunk.changes, strict=True)
    ]
    lines += [f"not executed here: {key}" for key in shrunk.not_executed]
    return "\n".join(printable(line, ascii_only=ascii_only) for line in lines)


def _literal(value: object) -> str:
    return repr(value) if isinstance(value, Auto | Off) else toml_literal(value)
