"""The loss of one micro-batch, from what a network says of its tokens: the same for every trainer.

Shape letters: T tokens of the global batch, M predicted tokens of the micro-batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.loss import DistillationLoss, PolicyLoss, PreferenceLoss
from compiler.ir.openness import Off
from runtime.engines.train.chunked_logprobs import TokenStats
from runtime.logprob_gap import GapMeter
from stdlib.algorithms._terms import (
    Algorithm,
    LossOutput,
    PolicyTerms,
    PreferenceTerms,
    SupervisedTerms,
    Totals,
)
from stdlib.samples import TrainBatch

if TYPE_CHECKING:
    from runtime.engines.train.torch_ import TrainerSpec


class Predicted(NamedTuple):
    """stats: of each predicted token.  tokens_M: [M] its index in the global batch.  sequence_M: [M] index of its
    sequence in the micro-batch.
    """

    stats: TokenStats
    tokens_M: Tensor
    sequence_M: Tensor


def loss_of(
    spec: TrainerSpec, algorithm: Algorithm, batch: TrainBatch, predicted: Predicted, totals: Totals, gap: GapMeter
) -> LossOutput:
    """Return the share of a policy's, a preference's or a supervised loss.

    Raises: SpecError RLC0643 if the batch lacks log-probs that the loss compares with.
    """
    stats, at = predicted.stats, predicted.tokens_M
    mask_M = torch.ones_like(stats.logprobs_M)
    params, loss = spec.params, spec.params.loss
    if isinstance(loss, PreferenceLoss):
        if batch.ref_logprobs_T is None:
            raise SpecError(lacks("reference", "a preference loss"))
        pairs = PreferenceTerms(stats.logprobs_M, mask_M, predicted.sequence_M, batch.ref_logprobs_T[at])
        return algorithm.loss(params, pairs, totals)
    if not isinstance(loss, PolicyLoss):
        terms = SupervisedTerms(logprobs_T=stats.logprobs_M, mask_T=mask_M, sequence_T=predicted.sequence_M)
        return algorithm.loss(params, terms, totals)
    policy_terms = PolicyTerms(
        logprobs_T=stats.logprobs_M,
        mask_T=mask_M,
        sequence_T=predicted.sequence_M,
        old_logprobs_T=_old_logprobs(loss.old_logprobs, batch, stats.logprobs_M.detach(), at),
        rollout_logprobs_T=batch.rollout_logprobs_T[at],
        advantages_T=batch.advantages_T[at],
        weights_T=None if batch.weights_T is None else batch.weights_T[at],
        ref_logprobs_T=_ref_logprobs(loss, batch, at),
        entropy_T=stats.entropy_M,
        is_right_T=None if batch.is_right_T is None else batch.is_right_T[at],
        reduction_T=None if batch.reduction_T is None else batch.reduction_T[at],
    )
    if batch.compared_T is not None:
        gap.add(stats.logprobs_M, batch.rollout_logprobs_T[at], batch.compared_T[at])
    return algorithm.loss(params, policy_terms, totals)


def _ref_logprobs(loss: PolicyLoss[Never], batch: TrainBatch, at: Tensor) -> Tensor | None:
    if batch.ref_logprobs_T is not None:
        return batch.ref_logprobs_T[at]
    if isinstance(loss.kl.estimator, Off):
        return None
    raise SpecError(lacks("reference", f'loss.kl.estimator = "{loss.kl.estimator}"'))


def _old_logprobs(
    source: Literal["rollout", "recompute", "current"], batch: TrainBatch, current_M: Tensor, at: Tensor
) -> Tensor:
    """Return the denominator of the ratio: what the batch holds, else what the setting says."""
    if source == "current":
        return current_M
    if batch.old_logprobs_T is not None:
        return batch.old_logprobs_T[at]
    if source == "rollout":
        return batch.rollout_logprobs_T[at]
    raise SpecError(lacks("old", 'loss.old_logprobs = "recompute"'))


def loss_temperature(spec: TrainerSpec) -> float:
    """Return what divides logits: as in the rollout, or as the loss compares them."""
    loss = spec.params.loss
    if isinstance(loss, DistillationLoss):
        return loss.temperature
    return sampling_temperature(spec)


def sampling_temperature(spec: TrainerSpec) -> float:
    """Return what divided logits in the rollout; 0 means 1, as for an engine's log-probs."""
    return spec.temperature if spec.temperature > 0.0 else 1.0


def without(what: str) -> Diagnostic:
    """Say that a trainer was built without some model."""
    return Diagnostic("RLC0643", f"this trainer was built without {what} weights")


def lacks(what: str, setting: str) -> Diagnostic:
    """Say that a batch has not been given what a setting asks for."""
    return Diagnostic("RLC0643", f"{setting} needs {what} log-probs, and the batch holds none", paths=("loss",))


def nothing_to_learn(batch: TrainBatch) -> Diagnostic:
    """Say that a whole global batch has no token that counts."""
    return Diagnostic(
        "RLC0645",
        f"none of the {sum(batch.lengths_N)} tokens of the global batch ({len(batch.lengths_N)} sequences) "
        "counts in the loss",
    )


def not_finite(step: int, loss: float, grad_norm: float) -> Diagnostic:
    """Say that a step was not taken."""
    return Diagnostic(
        "RLC0641",
        f"optimizer step {step} has loss {loss:g} and gradient norm {grad_norm:g}; the weights are unchanged",
        help=(Help("lower optim.lr or set optim.clip_grad_norm, and look at the rewards and log-probs of this step"),),
        paths=("optim.lr", "optim.clip_grad_norm"),
    )
