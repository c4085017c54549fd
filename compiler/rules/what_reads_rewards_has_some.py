"""What reads rewards has some.

What: where nothing has to be judged, because a teacher says what is good, nothing asks for rewards: no advantages
within groups, no likelihood of right responses, and nothing that chooses groups by their rewards.
Why it matters: all rewards would be missing, every group would look the same, and a filter would leave out all of them.
Example: `algo.name = "opd"` with `algo.rewards = "group"` and no `[reward]`.
Fix: write `[reward]`, or let the teacher alone say it.
Source: DISTILL-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import TaughtParams, TeacherAlgo
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0346"
ID = "DISTILL-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report settings that read rewards in stages that have none."""
    for stage in subject.stages():
        algo, rollout = stage.stage.algorithm.algo, stage.stage.rollout
        if not isinstance(stage.stage.algorithm, TaughtParams) or not isinstance(stage.stage.reward, Off):
            continue
        if isinstance(algo, TeacherAlgo) and algo.rewards == "group":
            fix = stage.fix("algo.rewards", "none", "the teacher alone says it")
            yield _diagnostic(stage, "algo.rewards", "advantages are made of rewards", fix)
        loss = stage.stage.algorithm.loss
        if isinstance(loss, PolicyLoss) and not isinstance(loss.positive_nll, Off):
            fix = Help(f"delete [{stage.shown('loss.positive_nll')}]")
            yield _diagnostic(stage, "loss.positive_nll.coef", "right responses are told by their rewards", fix)
        groups = rollout.filter if isinstance(rollout, Rollout) else OFF
        if not isinstance(groups, Off) and ":" not in groups.name:  # a filter of one's own is given whole groups
            fix = Help(f"delete [{stage.shown('rollout.filter')}]")
            yield _diagnostic(stage, "rollout.filter.name", "groups are left out by their rewards", fix)
        buffer = rollout.buffer if isinstance(rollout, Rollout) else OFF
        if not isinstance(buffer, Off) and buffer.selector == "prioritised":
            fix = stage.fix("rollout.buffer.selector", "fifo")
            yield _diagnostic(stage, "rollout.buffer.selector", "groups are taken by their rewards", fix)


def _diagnostic(stage: StageSubject, field: str, what: str, fix: Help) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"{what}, and the stage has no [reward]",
        stage.labels((field, "reads rewards")),
        (fix, Help("or write [reward], with its name")),
        rule=ID,
        paths=(stage.path(field),),
    )
