"""A stop string has a character.

What: none of `rollout.stop_strings` is empty.
Why it matters: every text has an empty one in it, so each response would end with its first token.
Example: `stop_strings = [""]`.
Fix: leave it out.
Source: rlc itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0376"
ID = ""

_FIELD = "rollout.stop_strings"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report empty strings."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if isinstance(rollout, Off) or "" not in rollout.stop_strings:
            continue
        yield Diagnostic(
            CODE,
            "an empty stop string ends every response with its first token",
            stage.labels((_FIELD, "has one without a character")),
            (stage.fix(_FIELD, tuple(s for s in rollout.stop_strings if s)),),
            paths=(stage.path(_FIELD),),
        )
