"""The bound of staleness ends before the stage.

What: a warning where a stage has no more steps than the weight updates by which its samples may be behind:
schedule.max_staleness, or 1 where the schedule is one step off.
Why it matters: sampling may then run through all of the stage with the weights that it began with; loops that wait for
a sampler as old as the bound have nothing left to wait for at the end, and some never return.
Example: `run.max_steps = 2` with `max_staleness = 2`.
Fix: a bound below the number of steps, or more steps.
Source: LIVE-02; prime-rl PR#2219.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0538"
ID = "LIVE-02"
_LAG, _STEPS = "schedule.max_staleness", "run.max_steps"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report asynchronous stages that are over before the bound says anything."""
    for stage in subject.stages():
        schedule, steps = stage.stage.schedule, stage.stage.run.max_steps
        if not schedule.lag or isinstance(stage.stage.rollout, Off) or not isinstance(steps, int):
            continue
        lag = schedule.lag
        if steps > lag:
            continue
        ways: list[Help] = [stage.fix(_LAG, steps - 1)] if steps > 1 and schedule.mode == "async" else []
        ways.append(stage.fix(_STEPS, lag + 1))
        yield Diagnostic(
            CODE,
            f"a stage of {steps:,} weight updates may be sampled whole with the weights that it began with: "
            f"{lag:,} behind are allowed",
            stage.labels(("schedule.mode", "does not wait"), (_STEPS, f"{steps:,} in all"), (_LAG, f"{lag:,} behind")),
            alternatives(*ways),
            rule=ID,
            severity="warning",
            paths=(stage.path(_LAG), stage.path(_STEPS)),
        )
