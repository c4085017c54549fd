"""Every value has an origin.

What: each resolved field says whether it is a default, a recipe's, the spec's, an override or derived, and from what.
Why it matters: "where does this number come from?" is the first question of a review; a value without an answer would
be one that nobody can defend.
Example: `rlc explain spec.toml train.steps_per_rollout` prints the equation and its inputs, each with file and line.
Fix: nothing in a spec can break this; it guards the compiler's own passes.  Report it.
Source: CFG-03.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves
from compiler.ir.subject import Subject

CODE = "RLC0314"
ID = "CFG-03"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report decided fields that no pass, default or text accounts for."""
    for path, value in leaves(subject.experiment):
        if not isinstance(value, Auto) and path not in subject.origins:
            yield Diagnostic(
                CODE,
                f"nobody says where {subject.shown(path)} comes from",
                help=(Help("this is a fault of rlc: please report it"),),
                rule=ID,
                paths=(path,),
            )
