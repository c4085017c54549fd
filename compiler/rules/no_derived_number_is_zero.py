"""No derived number is zero.

What: a count that follows from others is at least 1; a fraction is never rounded down to nothing.
Why it matters: other frameworks divide and floor, and the job dies on a bare assertion, or trains for zero steps.
Example: 4 prompts x 8 samples = 32 samples cannot fill a global batch of 256: steps_per_rollout would be 1/8.
Fix: take one of the solved values.
Source: BATCH-04; slime PR#2366, TTRL#43, SkyRL#1609.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.equations import EQUATIONS
from compiler.ir.subject import Subject
from compiler.rules._solved_fixes import said_values, solved_fixes

CODE = "RLC0303"
ID = "BATCH-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report equations whose one unknown would be a fraction below 1."""
    for stage in subject.stages():
        for equation in EQUATIONS:
            values = equation.factors(stage.stage)
            unknowns = equation.unknowns(values)
            if len(unknowns) != 1:
                continue
            solution = equation.solve(unknowns[0], values)
            if solution.is_below_one:
                yield Diagnostic(
                    CODE,
                    f"{stage.shown(unknowns[0])} would be {solution}, which other tools round to 0",
                    stage.labels(*said_values(stage, values)),
                    solved_fixes(stage, equation, values),
                    rule=ID,
                    paths=tuple(stage.path(f) for f in values),
                )
