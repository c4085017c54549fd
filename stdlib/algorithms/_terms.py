"""The records that pass between a trainer and an algorithm.

An algorithm is a module: `KIND` says whether it has rewards ("policy") or labels ("supervised"), `Params` what it
reads of a spec, `loss` maps the terms of one micro-batch to its share of the loss of the global batch.  Shares are sums
divided by the totals of the *global* batch, so the shares of all micro-batches, on all devices, add up to the loss; an
algorithm calls no collective.

Shape letters: T tokens of one micro-batch, B prompts, G samples of one prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.diagnostics.annotations import TYPE_CHECKING, Any, Literal, Protocol
from compiler.diagnostics.named_tuple import NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class SupervisedTerms(NamedTuple):
    """What is known of the tokens of one micro-batch, one entry a token.

    logprobs_T: [T] float32 of each token under the current policy; carries the gradient.
    mask_T: [T] float32, 1 where the token counts in the loss.
    sequence_T: [T] int64 index of the token's sequence within the micro-batch; a sequence is never split.
    """

    logprobs_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor


class PolicyTerms(NamedTuple):
    """What is known of sampled tokens: as SupervisedTerms, and further

    old_logprobs_T: [T] float32 denominator of the policy ratio; no gradient.
    advantages_T: [T] float32.
    ref_logprobs_T: [T] float32 under the reference model, or None where there is none.
    entropy_T: [T] float32 of the current policy's distribution at the token; carries the gradient.
    """

    logprobs_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor
    old_logprobs_T: Tensor
    advantages_T: Tensor
    ref_logprobs_T: Tensor | None = None
    entropy_T: Tensor | None = None


class Totals(NamedTuple):
    """Counts over the whole global batch: all micro-batches, all devices.

    `num_tokens` counts unmasked tokens, `num_sequences` all sequences, fully masked ones too.
    """

    num_tokens: int
    num_sequences: int


class MetricSum(NamedTuple):
    """One micro-batch's sum of a metric, and which total the sum over all micro-batches is divided by."""

    value: Tensor
    over: Literal["tokens", "sequences"]


class LossOutput(NamedTuple):
    """One micro-batch's share of the loss (a scalar with gradient), and sums to report (without)."""

    loss: Tensor
    metrics: Mapping[str, MetricSum]


class Algorithm(Protocol):
    """A module of stdlib/algorithms/, as a trainer sees it.  `params` is an instance of the module's own Params."""

    def loss(self, params: Any, terms: Any, totals: Totals) -> LossOutput:
        """Return the micro-batch's share of the loss."""
        ...
