"""An environment takes whole episodes.

What: a stage with [environment] has no [rollout.buffer] and no [reward.shaping.overlong].
Why it matters: a buffer keeps responses that are under way and goes on with them in a later step; between two turns an
episode is more than its tokens: a board, a process, a search that is under way, none of which a checkpoint holds.  The
overlong penalty compares all that a sample says with the limit of one turn.
Example: `[environment] name = "tools"` with `[rollout.buffer] partial = true`.
Fix: leave [rollout.buffer] out; bound episodes with environment.max_turns and rollout.max_context_tokens.
Source: EPI-01.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0380"
ID = "EPI-01"

_NAME, _BUFFER, _OVERLONG = "environment.name", "rollout.buffer", "reward.shaping.overlong"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what breaks episodes off, or takes them for single turns."""
    for stage in subject.stages():
        rollout, reward = stage.stage.rollout, stage.stage.reward
        if isinstance(stage.stage.environment, Off):
            continue
        if isinstance(rollout, Rollout) and not isinstance(rollout.buffer, Off):
            message = "a buffer goes on with responses in a later step, and an episode cannot be kept between two turns"
            yield _fault(stage, message, _BUFFER, "rollout.buffer.max_staleness_steps")
        if (
            not isinstance(reward, Off)
            and not isinstance(reward.shaping, Off)
            and not isinstance(reward.shaping.overlong, Off)
        ):
            message = "the overlong penalty is about the length of one response, and an episode has several turns"
            yield _fault(stage, message, _OVERLONG, f"{_OVERLONG}.penalty")


def _fault(stage: StageSubject, message: str, table: str, field: str) -> Diagnostic:
    return Diagnostic(
        CODE,
        message,
        stage.labels((_NAME, "episodes of several turns"), (field, "single responses")),
        (Help(f"leave [{stage.shown(table)}] out"),),
        rule=ID,
        paths=(stage.path(table),),
    )
