"""Experts are routed alike.

What: a warning where a model of experts is trained on what another engine sampled, and neither replays the routing of
the samples nor guards against what differs.
Why it matters: a token on the edge between two experts goes to one when it is sampled and to the other when it is
trained on, so its probability differs by far more than rounding; the gap grows until a run collapses.
Example: GRPO on Qwen3-30B-A3B with SGLang and Megatron.
Fix: watch the distance between both log-probs, and say in `allow` why the risk is taken; no setting replays a routing.
Source: ALGO-05; NeMo-RL#1441, miles#2722, vime#64.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import Subject

CODE = "RLC0536"
ID = "ALGO-05"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first stage that trains experts on what another engine sampled."""
    moe = subject.experiment.model.moe
    if isinstance(moe, Off):
        return
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(rollout, Rollout):
            continue
        sampler, trainer = rollout.engine.name, stage.stage.train.engine.name
        way = Help(f'if the risk is taken: allow = [{{ rule = "{CODE}", why = "..." }}]')
        yield Diagnostic(
            CODE,
            f"{sampler} and {trainer} each route tokens to {moe.experts_per_token:,} of {moe.num_experts:,} experts, "
            "and nothing makes both choose the same",
            subject.labels(("model.name", "a model of experts")),
            (way,),
            rule=ID,
            severity="warning",
            paths=("model.name", stage.path("rollout.engine.name"), stage.path("train.engine.name")),
        )
        return
