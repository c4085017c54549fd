"""A KL penalty says how it is measured.

What: a coefficient in [loss.kl] comes with an estimator; the estimator without a coefficient only monitors.
Why it matters: a coefficient without its switch is inert in other frameworks, and the policy drifts without the
penalty that the spec seems to have.
Example: `[loss.kl] coef = 0.01` with `estimator = "off"`.
Fix: `loss.kl.estimator = "k3"`, or delete the coefficient.
Source: ALGO-01; TRL PR#7068.  The reference model follows from the estimator: nobody has to ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0309"
ID = "ALGO-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report coefficients that have nothing to weigh."""
    for stage in subject.stages():
        loss = stage.stage.algorithm.loss
        if not isinstance(loss, PolicyLoss) or not isinstance(loss.kl.estimator, Off):
            continue
        if loss.kl.coef > 0 or stage.written("loss.kl.coef"):
            yield Diagnostic(
                CODE,
                f"the KL divergence is weighted with {loss.kl.coef:g} and never measured",
                stage.labels(("loss.kl.estimator", "no estimator"), ("loss.kl.coef", "weighs nothing")),
                (stage.fix("loss.kl.estimator", "k3"), Help(f"or delete {stage.shown('loss.kl.coef')}")),
                rule=ID,
                paths=(stage.path("loss.kl.coef"),),
            )
