"""A buffer keeps something, and for a step at least.

What: a stage with [rollout.buffer] leaves groups over: by a partial rollout, by a filter that draws more prompts than
are wanted, or by replay.  `rollout.buffer.max_staleness_steps` is at least 1.
Why it matters: what waits for the next step was sampled before this step's update, so it is one step old when it is
taken.  With a bound of 0 every group that was kept is dropped, and its sampling was for nothing; with nothing left over
the table says what never happens.  With `stale_tokens = "mask"` only responses under way are kept, which have no
rewards, so `selector = "prioritised"` has nothing to choose by.
Example: `[rollout.buffer] max_staleness_steps = 4` and nothing else.
Fix: `rollout.buffer.partial = true` with `rollout.buffer.oversample = 1.5`; or no buffer.
Source: BUF-02; NeMo-RL counts the age of a trajectory in the same way (async_grpo.max_trajectory_age_steps).
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Buffer, Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0366"
ID = "BUF-02"

_BOUND = "rollout.buffer.max_staleness_steps"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report buffers that are always empty."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(rollout, Rollout) or isinstance(rollout.buffer, Off):
            continue
        if rollout.buffer.max_staleness_steps == 0:
            yield _all_dropped(stage)
        if not _leaves_over(rollout, rollout.buffer):
            yield _nothing_left_over(stage)
        elif rollout.buffer.stale_tokens == "mask" and _compares_rewards(stage, rollout.buffer):
            yield _nothing_judged(stage)


def _leaves_over(rollout: Rollout[object], buffer: Buffer[object]) -> bool:
    has_surplus = not isinstance(rollout.filter, Off) and rollout.filter.oversample > 1
    return buffer.partial or not isinstance(buffer.replay, Off) or has_surplus


def _compares_rewards(stage: StageSubject, buffer: Buffer[object]) -> bool:
    return buffer.selector == "prioritised" and not isinstance(stage.stage.reward, Off)


def _all_dropped(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        "what waits in a buffer is one step old when it is taken, and nothing above 0 steps is kept",
        stage.labels((_BOUND, "drops all")),
        (stage.fix(_BOUND, 1),),
        rule=ID,
        paths=(stage.path(_BOUND),),
    )


def _nothing_judged(stage: StageSubject) -> Diagnostic:
    selector = "rollout.buffer.selector"
    return Diagnostic(
        CODE,
        "where tokens of older weights do not count, only responses under way wait, and none has a reward to choose by",
        stage.labels((selector, "chooses by rewards"), ("rollout.buffer.stale_tokens", "no judged group is kept")),
        alternatives(stage.fix(selector, "fifo"), stage.fix("rollout.buffer.stale_tokens", "train")),
        rule=ID,
        paths=(stage.path(selector),),
    )


def _nothing_left_over(stage: StageSubject) -> Diagnostic:
    partial, oversample = stage.fix("rollout.buffer.partial", value=True), stage.fix("rollout.buffer.oversample", 1.5)
    both = Help(f"{partial.text} and {stage.shown('rollout.buffer.oversample')} = 1.5", partial.sets + oversample.sets)
    return Diagnostic(
        CODE,
        f"{stage.shown('rollout.buffer')} keeps what a step leaves over, and every step takes all that it samples",
        stage.labels(("rollout.filter.oversample", "no more than are missing"), (_BOUND, "a buffer that stays empty")),
        alternatives(both, Help(f"leave [{stage.shown('rollout.buffer')}] out")),
        rule=ID,
        paths=(stage.path("rollout.buffer"),),
    )
