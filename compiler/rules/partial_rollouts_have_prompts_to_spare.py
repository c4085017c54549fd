"""A partial rollout has prompts to spare.

What: with `rollout.buffer.partial` more prompts are under way than a step takes: `rollout.buffer.oversample` is above
1.  It alone says how many, so `rollout.filter.oversample` stays 1.
Why it matters: sampling ends as soon as enough groups are finished.  With as many under way as are wanted, that is when
the longest response of all is finished: nothing is ever broken off, and nothing is gained.
Example: `[rollout.buffer] partial = true` without `oversample`.
Fix: `rollout.buffer.oversample = 1.5`.
Source: BUF-01; slime's --over-sampling-batch-size beside --partial-rollout.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.openness import Off
from compiler.ir.rollout import Buffer, Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0365"
ID = "BUF-01"

_OVERSAMPLE = "rollout.buffer.oversample"
_OF_FILTER = "rollout.filter.oversample"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report partial rollouts that have nothing to break off, and a second number of prompts."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if isinstance(rollout, Rollout) and not isinstance(rollout.buffer, Off) and rollout.buffer.partial:
            if rollout.buffer.oversample <= 1:
                yield _nothing_to_spare(stage, rollout.prompts_per_step)
            if not isinstance(rollout.filter, Off) and rollout.filter.oversample != 1:
                yield _two_numbers(stage, rollout.buffer)


def _nothing_to_spare(stage: StageSubject, prompts: object) -> Diagnostic:
    count = f"{prompts:,}" if isinstance(prompts, int) else "as many"
    return Diagnostic(
        CODE,
        f"a step takes {count} groups and has {count} under way: it waits for the longest, and breaks none off",
        stage.labels(
            ("rollout.prompts_per_step", "groups of a step"),
            ("rollout.buffer.partial", "ends sampling once they are finished"),
            (_OVERSAMPLE, "and no more are under way"),
        ),
        (stage.fix(_OVERSAMPLE, 1.5),),
        rule=ID,
        paths=(stage.path(_OVERSAMPLE),),
    )


def _two_numbers(stage: StageSubject, buffer: Buffer[object]) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"a partial rollout has {buffer.oversample:g} times the missing prompts under way, and "
        f"{stage.shown(_OF_FILTER)} says it again",
        stage.labels((_OVERSAMPLE, "is read"), (_OF_FILTER, "has no effect")),
        (stage.fix(_OF_FILTER, 1.0),),
        rule=ID,
        paths=(stage.path(_OF_FILTER),),
    )
