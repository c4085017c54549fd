"""A replay takes whole groups, as often as their age allows, and they count.

What: `rollout.buffer.replay.frac` of a step's groups is at least one group; `max_uses` is at most
`rollout.buffer.max_staleness_steps`; and `rollout.buffer.stale_tokens` is "train".
Why it matters: less than a group is none, and nothing is replayed.  A group is used once a step at most, and is a step
older each time, so more uses than steps never come.  Every token of a replayed group is older than the weights, so
where these are masked none of it counts and the step is smaller for nothing.
Example: `replay.frac = 0.1` with `rollout.prompts_per_step = 8`.
Fix: `replay.frac = 0.125`.
Source: BUF-04.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Buffer, Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0369"
ID = "BUF-04"

_FRAC, _USES = "rollout.buffer.replay.frac", "rollout.buffer.replay.max_uses"
_BOUND, _TOKENS = "rollout.buffer.max_staleness_steps", "rollout.buffer.stale_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report replays of nothing, uses that never come, and replays that do not count."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if isinstance(rollout, Rollout) and not isinstance(rollout.buffer, Off):
            yield from _check_stage(stage, rollout.buffer, rollout.prompts_per_step)


def _check_stage(stage: StageSubject, buffer: Buffer[object], prompts: object) -> Iterator[Diagnostic]:
    replay, bound = buffer.replay, buffer.max_staleness_steps
    if isinstance(replay, Off):
        return
    if isinstance(prompts, int) and not replay.num_groups(prompts):
        none = Help(f"leave [{stage.shown('rollout.buffer.replay')}] out")
        fixes = (stage.fix(_FRAC, 1 / prompts) if prompts > 1 else none,)
        yield Diagnostic(
            CODE,
            f"{replay.frac:g} of {prompts:,} groups is less than one: nothing is replayed",
            stage.labels(("rollout.prompts_per_step", f"{prompts:,} groups a step"), (_FRAC, "less than a group")),
            fixes,
            rule=ID,
            paths=(stage.path(_FRAC),),
        )
    if isinstance(bound, int) and replay.max_uses > bound > 0:
        yield Diagnostic(
            CODE,
            f"a group is a step older with each use and is dropped after {bound:,}: it is never used "
            f"{replay.max_uses:,} times again",
            stage.labels((_BOUND, f"{bound:,} steps"), (_USES, f"{replay.max_uses:,} uses")),
            (stage.fix(_USES, bound),),
            rule=ID,
            paths=(stage.path(_USES), stage.path(_BOUND)),
        )
    if buffer.stale_tokens == "mask":
        yield Diagnostic(
            CODE,
            "every token of a replayed group is older than the weights, and such tokens do not count",
            stage.labels((_FRAC, "replays groups"), (_TOKENS, "masks all that they have")),
            (stage.fix(_TOKENS, "train"),),
            rule=ID,
            paths=(stage.path(_TOKENS),),
        )
