"""Small specs with expressions in them, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.compile import Compiled
from compiler.ir.paths import read
from compiler.ir.subject import toml_literal
from tests.support.good_spec import Changes, compiled

Requires = Sequence[tuple[str, str]]


def requiring(*statements: str) -> str:
    """Return the value of `require` that states these, each for the reason `because`."""
    return "[" + ", ".join(f'{{ that = {toml_literal(that)}, why = "because" }}' for that in statements) + "]"


def outcome(folder: Path, changes: Changes) -> Compiled:
    """Compile the good spec with changes; there must be a plan."""
    found = compiled(folder, changes)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found


def field(found: Compiled, path: str) -> object:
    """Return the value of a field of the only stage, or of the root."""
    assert found.subject is not None
    experiment = found.subject.experiment
    try:
        return read(experiment.stages[0], path)
    except KeyError:
        return read(experiment, path)
