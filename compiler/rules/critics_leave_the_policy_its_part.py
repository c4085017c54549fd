"""A critic leaves the policy its part.

What: the critic's warm-up ends before the stage does, and `algo.lam` is not set where both the policy and the critic
have a lambda of their own.
Why it matters: with a warm-up as long as the stage the policy is never trained, and the run ends without a word; and a
lambda that nobody reads looks like a setting.
Example: `critic.warmup_rollouts = 100` with `run.max_steps = 50`.
Fix: a shorter warm-up; delete algo.lam, or one of the two that take its place.
Source: ALGO-07; VAPO, arXiv:2504.05118, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import ActorCriticParams, AdvantageEstimationAlgo
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0355"
ID = "ALGO-07"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report warm-ups that do not end, and a lambda that nobody reads."""
    for stage in subject.stages():
        params, steps = stage.stage.algorithm, stage.stage.run.max_steps
        if isinstance(params, ActorCriticParams) and isinstance(steps, int):
            if params.critic.warmup_rollouts >= steps:
                yield _never_trained(stage, params.critic.warmup_rollouts, steps)
            yield from _unread_lambda(stage, params.algo)


def _never_trained(stage: StageSubject, warmup: int, steps: int) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"the critic is trained alone for {warmup:,} rollouts, and the stage has {steps:,}: the policy never is",
        stage.labels(("run.max_steps", f"{steps:,} rollouts"), ("critic.warmup_rollouts", "never ends")),
        (stage.fix("critic.warmup_rollouts", steps // 10),),
        rule=ID,
        paths=(stage.path("critic.warmup_rollouts"),),
    )


def _unread_lambda(stage: StageSubject, algo: object) -> Iterator[Diagnostic]:
    if not isinstance(algo, AdvantageEstimationAlgo) or not stage.written("algo.lam"):
        return
    is_the_policys = isinstance(algo.length_adaptive, Off) and isinstance(algo.advantages, Off)
    if is_the_policys or isinstance(algo.critic_lam, Off):
        return
    yield Diagnostic(
        CODE,
        f"{stage.shown('algo.lam')} is set, and policy and critic each have a lambda of their own",
        stage.labels(
            ("algo.advantages", "the policy's"),
            ("algo.length_adaptive", "the policy's"),
            ("algo.critic_lam", "the critic's"),
            ("algo.lam", "has no effect"),
        ),
        (Help(f"leave {stage.shown('algo.lam')} out", unsets=(stage.shown("algo.lam"),)),),
        rule=ID,
        paths=(stage.path("algo.lam"),),
    )
