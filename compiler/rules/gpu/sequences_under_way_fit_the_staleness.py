"""Sequences under way fit the staleness.

What: a warning where an asynchronous loop asks for more sequences at once, over all engines, than max_staleness + 1
rollouts have, or for fewer than one rollout or one group.
Why it matters: samples beyond the bound may not be started, so their places stay empty; a rollout that is decoded in
turns takes several times the longest response, and a group is as old as its first sample.
Example: `concurrency = 512` on 8 engines, for rollouts of 256 samples with `max_staleness = 1`: 4,096 places for 512.
Fix: leave rollout.concurrency out, or set it to what the message says.
Source: LIVE-04; AReaL#137, TRL PR#5656.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._gpu_layout import layout_of

CODE = "RLC0535"
ID = "LIVE-04"
_FIELD = "rollout.concurrency"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report numbers of sequences that somebody wrote, and that do not fit."""
    layout = layout_of(subject)
    if layout is None or not isinstance(layout.placement.rollout_gpus, int):
        return
    engines = layout.placement.generating_engines()
    for stage in subject.stages():
        rollout, schedule = stage.stage.rollout, stage.stage.schedule
        if schedule.mode != "async" or not isinstance(rollout, Rollout) or not stage.written(_FIELD) or not engines:
            continue
        prompts, group, each = rollout.prompts_per_step, rollout.samples_per_prompt, rollout.concurrency
        if not isinstance(prompts, int) or not isinstance(group, int) or not isinstance(each, int):
            continue
        most = prompts * group * (schedule.max_staleness + 1)
        places = each * engines
        if each > 1 and places - engines >= most:
            text = f"{places:,} sequences may be decoded at once, and {most:,} samples may be under way"
            yield _diagnostic(stage, text, -(-most // engines))
        elif places < group:
            text = f"{places:,} sequences may be decoded at once, and a group has {group:,} samples"
            yield _diagnostic(stage, text, -(-prompts * group // engines))
        elif places < prompts * group:
            text = f"{places:,} sequences may be decoded at once, and a rollout has {prompts * group:,} samples"
            yield _diagnostic(stage, text, -(-prompts * group // engines))


def _diagnostic(stage: StageSubject, message: str, fitting: int) -> Diagnostic:
    labels = stage.labels(("schedule.max_staleness", "bounds what may be under way"), (_FIELD, "for each engine"))
    paths = (stage.path(_FIELD), stage.path("schedule.max_staleness"), "placement.rollout_gpus")
    ways = (stage.fix(_FIELD, fitting),)
    return Diagnostic(CODE, message, labels, ways, rule=ID, severity="warning", paths=paths)
