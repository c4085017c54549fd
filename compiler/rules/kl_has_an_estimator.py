"""A KL penalty says how it is measured.

What: a coefficient in [loss.kl] comes with an estimator; the estimator without a coefficient only monitors.  A
coefficient of k1 as a term of the loss, without a weight that has a gradient, is a warning; a weight of a divergence
that is taken off the reward is an error.
Why it matters: a coefficient without its switch is inert in other frameworks, and the policy drifts without the
penalty that the spec seems to have.  So it does with k1: as a number it is unbiased, but on samples of the policy
itself its gradient is zero on average.
Example: `[loss.kl] coef = 0.01` with `estimator = "off"`.
Fix: `loss.kl.estimator = "k3"`, or delete the coefficient.
Source: ALGO-01; TRL PR#7068; Tang and Munos, arXiv:2506.09477.  The reference model follows from the estimator: nobody
has to ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.loss import KL, PenaltyKL, PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0309"
ID = "ALGO-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report coefficients that have nothing to weigh, and warn of one that weighs noise."""
    for stage in subject.stages():
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, PolicyLoss):
            continue
        kl = loss.kl
        if isinstance(kl.estimator, Off):
            if kl.coef > 0 or stage.written("loss.kl.coef"):
                yield _never_measured(stage, kl.coef)
        elif _is_penalty(kl) and kl.weight != "none":
            yield _weighs_no_term(stage)
        elif kl.estimator == "k1" and kl.coef > 0 and kl.weight == "none" and not _is_penalty(kl):
            yield _weighs_noise(stage)


def _is_penalty(kl: KL) -> bool:
    return isinstance(kl, PenaltyKL) and kl.place == "reward"


def _weighs_no_term(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        "the KL divergence is taken off the reward, where nothing weighs it: loss.kl.weight is for a term of the loss",
        stage.labels(("loss.kl.place", "no term of the loss"), ("loss.kl.weight", "has no effect")),
        alternatives(stage.fix("loss.kl.weight", "none"), stage.fix("loss.kl.place", "loss")),
        rule=ID,
        paths=(stage.path("loss.kl.weight"),),
    )


def _never_measured(stage: StageSubject, coef: float) -> Diagnostic:
    shown = stage.shown("loss.kl.coef")
    return Diagnostic(
        CODE,
        f"the KL divergence is weighted with {coef:g} and never measured",
        stage.labels(("loss.kl.estimator", "no estimator"), ("loss.kl.coef", "weighs nothing")),
        alternatives(stage.fix("loss.kl.estimator", "k3"), Help(f"delete {shown}", unsets=(shown,))),
        rule=ID,
        paths=(stage.path("loss.kl.coef"),),
    )


def _weighs_noise(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        "the gradient of k1 is zero on average: as a term of the loss it adds noise and holds nothing back",
        stage.labels(("loss.kl.coef", "the weight of the noise"), ("loss.kl.estimator", "unbiased as a number only")),
        alternatives(
            stage.fix("loss.kl.estimator", "k3"),
            stage.fix("loss.kl.weight", "score", "its gradient is then that of the divergence"),
            stage.fix("loss.kl.coef", 0.0, "k1 then monitors"),
        ),
        rule=ID,
        severity="warning",
        paths=(stage.path("loss.kl.estimator"),),
    )
