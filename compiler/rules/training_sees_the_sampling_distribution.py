"""Training sees the distribution that was sampled from.

What: the trainer divides logits by the rollout's temperature; top-p and top-k, which it cannot repeat, are refused
where the engine's log-probs are the ratio's denominator; and a policy that is trained is sampled, not maximised.
Why it matters: log-probs of a filtered distribution against log-probs of the full one give ratios far from 1 on the
first step, a gradient with a bias, and clipping that nobody asked for.  At temperature 0 all samples of a group are
equal.
Example: `rollout.sampling.top_p = 0.9` with `loss.old_logprobs = "rollout"`.
Fix: `rollout.sampling.top_p = 1.0`, or `loss.old_logprobs = "recompute"`; a filter that is meant is allowed with a
reason: `allow = [{ rule = "ALGO-03", why = "..." }]`.
Source: ALGO-03.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0311"
ID = "ALGO-03"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report samplings whose log-probs the trainer cannot reproduce."""
    for stage in subject.stages():
        if isinstance(stage.stage.rollout, Rollout) and isinstance(stage.stage.algorithm.loss, PolicyLoss):
            yield from _check_stage(stage, stage.stage.rollout, stage.stage.algorithm.loss)


def _check_stage(stage: StageSubject, rollout: Rollout[object], loss: PolicyLoss[object]) -> Iterator[Diagnostic]:
    sampling = rollout.sampling
    if sampling.temperature == 0:
        yield Diagnostic(
            CODE,
            "at temperature 0 all samples of a prompt are equal, and nothing can be learnt from their difference",
            stage.labels(("rollout.sampling.temperature", "takes the most likely token")),
            (stage.fix("rollout.sampling.temperature", 1.0),),
            rule=ID,
            paths=(stage.path("rollout.sampling.temperature"),),
        )
    if loss.old_logprobs != "rollout":
        return
    kept: list[tuple[str, object]] = []
    if sampling.top_p < 1:
        kept.append(("rollout.sampling.top_p", 1.0))
    if not isinstance(sampling.top_k, Off):
        kept.append(("rollout.sampling.top_k", "off"))
    for field, full in kept:
        yield Diagnostic(
            CODE,
            f"{stage.shown(field)} filters what is sampled, and the trainer's log-probs are unfiltered",
            stage.labels(
                ("loss.old_logprobs", "compares both in the ratio"), (field, "tokens outside it have no probability")
            ),
            alternatives(stage.fix(field, full), _recomputed(stage, rollout, loss)),
            rule=ID,
            paths=(stage.path(field),),
            is_judgement=True,
        )


def _recomputed(stage: StageSubject, rollout: Rollout[object], loss: PolicyLoss[object]) -> Help:
    """Old log-probs of the trainer; where tokens of older weights count they take a correction as well."""
    recompute, buffer = stage.fix("loss.old_logprobs", "recompute"), rollout.buffer
    if isinstance(buffer, Off) or buffer.stale_tokens == "mask" or loss.mismatch.is_on:
        return recompute
    bound = stage.fix("loss.mismatch.bound", "truncate")
    return Help(f'{recompute.text} and {stage.shown("loss.mismatch.bound")} = "truncate"', recompute.sets + bound.sets)
