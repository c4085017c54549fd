"""Experts are routed alike.

What: a warning where a model of experts is trained on what another engine sampled, routing is not replayed, and nothing
bounds or leaves out the tokens on which both differ.
Why it matters: a token on the edge between two experts goes to one when it is sampled and to the other when it is
trained on, so its probability differs by far more than rounding; the gap grows until a run collapses.
Example: GRPO on Qwen3-30B-A3B with SGLang and Megatron.
Fix: `train.routing_replay = "rollout"` trains with the experts that sampled; with `loss.old_logprobs = "recompute"`,
`"trainer"` keeps at least the ratio free of it.  Where an engine cannot replay, [loss.mismatch] or [loss.rejection]
guards against what differs.  An engine that cannot replay is allowed with the reason why the risk
is taken.
Source: ALGO-05; NeMo-RL#1441, miles#2722, vime#64; Megatron-LM#4168 reports three collapsed runs of three without.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.ir.loss import Loss, PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.ir.training import PolicyTrain

CODE = "RLC0536"
ID = "ALGO-05"
_FIELD = "train.routing_replay"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first stage that trains experts on what another engine sampled, each choosing for itself."""
    moe = subject.experiment.model.moe
    if isinstance(moe, Off):
        return
    for stage in subject.stages():
        rollout, train = stage.stage.rollout, stage.stage.train
        if not isinstance(rollout, Rollout) or not isinstance(train, PolicyTrain):
            continue
        if not isinstance(train.routing_replay, Off) or _is_guarded(stage.stage.algorithm.loss):
            continue
        sampler, trainer = rollout.engine.name, train.engine.name
        yield Diagnostic(
            CODE,
            f"{sampler} and {trainer} each route tokens to {moe.experts_per_token:,} of {moe.num_experts:,} experts, "
            "and nothing makes both choose the same",
            (*subject.labels(("model.name", "a model of experts")), *_secondary(stage)),
            (_way_out(stage, sampler, trainer),),
            rule=ID,
            severity="warning",
            paths=("model.name", stage.path("rollout.engine.name"), stage.path("train.engine.name")),
        )
        return


def _is_guarded(loss: Loss) -> bool:
    """Whether weights between both engines are bounded, or what is far off is left out."""
    if not isinstance(loss, PolicyLoss):
        return False
    rejection = loss.rejection
    left_out = (rejection.level, rejection.veto_below, rejection.max_error)
    is_bounded = loss.mismatch.bound in ("truncate", "clip", "mask") or not isinstance(loss.mismatch.function, Off)
    return is_bounded or not all(isinstance(one, Off) for one in left_out)


def _secondary(stage: StageSubject) -> tuple[Label, ...]:
    return tuple(label._replace(is_primary=False) for label in stage.labels((_FIELD, "no replay")))


def _way_out(stage: StageSubject, sampler: object, trainer: object) -> Help:
    subject = stage.subject
    can = subject.catalogue.load_target(subject.experiment.cluster.target).replays_routing
    missing = [name for name in (sampler, trainer) if name not in can]
    if not missing:
        return stage.fix(_FIELD, "rollout")
    return Help(f'{missing[0]} cannot replay: if the risk is taken, allow = [{{ rule = "{CODE}", why = "..." }}]')
