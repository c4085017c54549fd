"""Advantages of one's own hold their penalty.

What: with `algo.advantages` the KL divergence is a term of the loss, or is not weighed at all: `loss.kl.place` is not
"reward".
Why it matters: a penalty that is taken off the reward of each token reaches the policy through the advantages that the
algorithm makes of these rewards.  A function of your own stands in their place, so the policy would not be held.
Example: `algo.name = "ppo"` with `algo.advantages = "own.py:ranked"` and `loss.kl.place = "reward"`.
Fix: `loss.kl.place = "loss"`; or take the penalty off in the function, which is given the log-probs of both, and set
`loss.kl.coef = 0.0`.
Source: ALGO-01; InstructGPT, arXiv:2203.02155, section 3.5: the penalty is part of the reward.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.algorithm import PolicyAlgo
from compiler.ir.loss import PenaltyKL, PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0347"
ID = "ALGO-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report penalties in rewards that nobody makes advantages of."""
    for stage in subject.stages():
        algo, loss = stage.stage.algorithm.algo, stage.stage.algorithm.loss
        if not isinstance(algo, PolicyAlgo) or isinstance(algo.advantages, Off) or not isinstance(loss, PolicyLoss):
            continue
        kl = loss.kl
        if isinstance(kl, PenaltyKL) and not isinstance(kl.estimator, Off) and kl.coef > 0 and kl.place == "reward":
            yield _diagnostic(stage)


def _diagnostic(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        "the KL divergence is taken off rewards that the policy's advantages are not made of",
        stage.labels(("algo.advantages", "says them itself"), ("loss.kl.place", "does not reach the policy")),
        alternatives(stage.fix("loss.kl.place", "loss"), stage.fix("loss.kl.coef", 0.0, "the function takes it off")),
        rule=ID,
        paths=(stage.path("loss.kl.place"),),
    )
