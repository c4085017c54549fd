"""Routing can be replayed.

What: a stage that replays routing trains a model of experts; its training engine visits experts that it is given; for
`rollout` its rollout engine returns those that a token visited, and for `trainer` there is a pass for old log-probs
that chooses them.
Why it matters: a replay of what nobody recorded is none, and the router chooses anew without a message.
Example: `train.routing_replay = "trainer"` with `loss.old_logprobs = "rollout"`: no pass of the trainer comes first.
Fix: the message names the setting; which engines replay is data of the target.
Source: ALGO-05; arXiv:2510.11370 (rollout), arXiv:2507.18071 (trainer); targets/gpu/base.toml.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, alternatives
from compiler.ir.catalogue import TargetEntry
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.ir.training import PolicyTrain

CODE = "RLC0514"
ID = "ALGO-05"
_FIELD, _OLD = "train.routing_replay", "loss.old_logprobs"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first thing that a replay of routing lacks, of each stage that asks for one."""
    for stage in subject.stages():
        train = stage.stage.train
        if isinstance(train, PolicyTrain) and not isinstance(train.routing_replay, Off):
            yield from _check_stage(stage, train.routing_replay)


def _check_stage(stage: StageSubject, replayed: str) -> Iterator[Diagnostic]:
    subject = stage.subject
    loss, rollout = stage.stage.algorithm.loss, stage.stage.rollout
    off = stage.fix(_FIELD, "off")
    if isinstance(subject.experiment.model.moe, Off):
        dense = (label._replace(is_primary=False) for label in subject.labels(("model.name", "no experts")))
        labels = (*dense, *stage.labels((_FIELD, "replays nothing")))
        yield _diagnostic(stage, "routing is replayed, and the model has no experts", labels, (off,), "model.moe")
        return
    engines = [("train.engine.name", stage.stage.train.engine.name, "train with experts that it is given")]
    if replayed == "rollout" and isinstance(rollout, Rollout):
        engines.append(("rollout.engine.name", rollout.engine.name, "return the experts of a token"))
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for path, name, what in engines:
        if isinstance(name, str) and name not in target.replays_routing:
            labels = stage.labels((path, "this engine"), (_FIELD, "asks for it"))
            ways = alternatives(*(stage.fix(path, able) for able in _able(target, path)), _choose_anew(stage))
            yield _diagnostic(stage, f"{name} on target {target.name} does not {what}", labels, ways, path)
            return
    if replayed == "trainer" and isinstance(loss, PolicyLoss) and loss.old_logprobs != "recompute":
        labels = stage.labels((_OLD, "not a pass of the trainer"), (_FIELD, "of a pass that there is not"))
        message = "the trainer's routing is replayed, and no pass of it comes before the update"
        ways = alternatives(stage.fix(_OLD, "recompute"), _choose_anew(stage))
        yield _diagnostic(stage, message, labels, ways, _OLD)


def _able(target: TargetEntry, path: str) -> list[str]:
    engines = target.train_engines if path.startswith("train.") else target.rollout_engines
    return [name for name in engines if name in target.replays_routing][:1]


def _choose_anew(stage: StageSubject) -> Help:
    """No edit for a tool: without a replay somebody has to say why the risk is taken."""
    return stage.fix(_FIELD, "off")._replace(sets=())


def _diagnostic(
    stage: StageSubject, message: str, labels: tuple[Label, ...], ways: tuple[Help, ...], path: str
) -> Diagnostic:
    other = path if path.startswith("model.") else stage.path(path)
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=(stage.path(_FIELD), other))
