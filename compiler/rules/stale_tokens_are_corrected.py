"""Tokens of older weights are corrected for.

What: where groups of a buffer count in the loss, or sampling does not wait for training, some tokens were sampled by
older weights than those that are trained.  Then `loss.old_logprobs` is "rollout": the ratio is measured from the policy
that sampled each token; or "recompute" with `loss.mismatch.bound` or `.function`: it is measured from the policy before
the update, and a weight leads from there to the one that sampled.
Why it matters: recomputed log-probs are those of the present weights, so the ratio of a stale token begins at 1 as if
the present policy had sampled it, and clipping does not see how far it has moved.  With "current" every ratio stays 1.
Both are gradients with a bias that grows with staleness.
Example: `rollout.buffer.partial = true`, or `schedule.mode = "async"`, with `loss.old_logprobs = "recompute"`.
Fix: `loss.old_logprobs = "rollout"`; or `loss.mismatch.bound = "truncate"`; or `rollout.buffer.stale_tokens = "mask"`.
RLC0510 is about loops that do not wait with `loss.old_logprobs = "current"`.
A bias that is meant is allowed with a reason: `allow = [{ rule = "RLC0367", why = "..." }]`.
Source: ALGO-02; AReaL, arXiv:2505.24298 (decoupled objective); slime's --use-tis.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Buffer, Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0367"
ID = "ALGO-02"

_OLD, _BOUND, _TOKENS = "loss.old_logprobs", "loss.mismatch.bound", "rollout.buffer.stale_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stale tokens that are taken for fresh ones: of a buffer, or of a loop that does not wait."""
    for stage in subject.stages():
        rollout, loss = stage.stage.rollout, stage.stage.algorithm.loss
        if not isinstance(rollout, Rollout) or not isinstance(loss, PolicyLoss):
            continue
        is_known = loss.old_logprobs == "rollout"
        is_weighted = loss.old_logprobs == "recompute" and loss.mismatch.is_on
        if is_known or is_weighted:
            continue
        if not isinstance(rollout.buffer, Off) and rollout.buffer.stale_tokens == "train":
            yield _diagnostic(stage, rollout, rollout.buffer, loss)
        elif isinstance(rollout.buffer, Off) and stage.stage.schedule.lag and loss.old_logprobs == "recompute":
            yield _diagnostic(stage, rollout, OFF, loss)


def _diagnostic(
    stage: StageSubject, rollout: Rollout[object], buffer: Buffer[object] | Off, loss: PolicyLoss[object]
) -> Diagnostic:
    is_recomputed = loss.old_logprobs == "recompute"
    what = "of the present weights" if is_recomputed else "that move with every update"
    keeps = ("rollout.buffer.max_staleness_steps", "keeps groups over updates")
    return Diagnostic(
        CODE,
        f"tokens that older weights sampled are measured by log-probs {what}, as if these had sampled them",
        stage.labels(
            ("schedule.mode", "samples while weights are updated") if isinstance(buffer, Off) else keeps,
            (_OLD, "the trainer's before its first update" if is_recomputed else "the policy's own"),
        ),
        alternatives(*_ways(stage, rollout, buffer, is_recomputed=is_recomputed)),
        rule=ID,
        paths=(stage.path(_OLD),),
        is_judgement=True,
    )


def _ways(
    stage: StageSubject, rollout: Rollout[object], buffer: Buffer[object] | Off, *, is_recomputed: bool
) -> Iterator[Help]:
    sampling = rollout.sampling
    if sampling.top_p == 1 and isinstance(sampling.top_k, Off):
        yield stage.fix(_OLD, "rollout")
    bound, recompute = stage.fix(_BOUND, "truncate"), stage.fix(_OLD, "recompute")
    both = Help(f'{recompute.text} and {stage.shown(_BOUND)} = "truncate"', recompute.sets + bound.sets)
    yield bound if is_recomputed else both
    if not isinstance(buffer, Off) and buffer.partial and isinstance(buffer.replay, Off):
        yield stage.fix(_TOKENS, "mask")
