"""The records that pass between a trainer and an algorithm.

An algorithm is a module: `KIND` says what it learns from, `Params` what it reads of a spec, `loss` maps the terms of
one micro-batch to its share of the loss of the global batch; one of kind "policy" has `advantages` as well.  Shares are
sums divided by the totals of the *global* batch, so the shares of all micro-batches, on all devices, add up to the
loss; an algorithm calls no collective.

Shape letters: T tokens, N sequences: of one micro-batch in `loss`, of a whole rollout in `advantages`.
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
    rollout_logprobs_T: [T] float32 under the engine that sampled, as it sampled.
    advantages_T: [T] float32.
    weights_T: [T] float32 importance weight of each token's loss, without gradient; None where all are 1.
    ref_logprobs_T: [T] float32 under the reference model, or None where there is none.
    entropy_T: [T] float32 of the current policy's distribution at the token; carries the gradient.
    is_right_T: [T] float32, 1 in responses that are right, or None where nobody asks.
    reduction_T: [T] float32 what each token weighs in the sum that is the surrogate's part of the loss of the global
        batch, as a function of the experiment's own says; None where [loss] reduction does.
    """

    logprobs_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor
    old_logprobs_T: Tensor
    rollout_logprobs_T: Tensor
    advantages_T: Tensor
    weights_T: Tensor | None = None
    ref_logprobs_T: Tensor | None = None
    entropy_T: Tensor | None = None
    is_right_T: Tensor | None = None
    reduction_T: Tensor | None = None


class Reducible(NamedTuple):
    """What a reduction of the experiment's own is given: all sequences of one optimizer step, end to end.

    mask_T: [T] float32, 1 where the policy sampled the token and it counts in the loss.
    sequence_T: [T] int64 index of the token's sequence, ascending.
    advantages_T: [T] float32.
    num_sequences: of the batch, those of which no token counts among them.
    """

    mask_T: Tensor
    sequence_T: Tensor
    advantages_T: Tensor
    num_sequences: int


class PreferenceTerms(NamedTuple):
    """What is known of pairs of answers: as SupervisedTerms, better and worse answers in turn, and further

    ref_logprobs_T: [T] float32 under the reference model; no gradient.
    """

    logprobs_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor
    ref_logprobs_T: Tensor


class DistillationTerms(NamedTuple):
    """What is known of sampled tokens and of a teacher, one entry a token.

    forward_kl_T: [T] float32 KL(teacher || student) of their distributions; carries the gradient of the student.
    reverse_kl_T: [T] float32 KL(student || teacher); carries the gradient of the student.
    mask_T, sequence_T: as in SupervisedTerms.
    """

    forward_kl_T: Tensor
    reverse_kl_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor


class ScoreTerms(NamedTuple):
    """What a reward model learns from: answers of one micro-batch, where they are pairs better and worse ones in turn.

    scores_N: [N] float32 of each answer; carries the gradient.
    targets_N: [N] float32 what the scores should be; of pairs the margin, at the better answer.
    """

    scores_N: Tensor
    targets_N: Tensor


class ValueTerms(NamedTuple):
    """What a critic learns from: tokens of one micro-batch.

    values_T: [T] float32 of the state before each token; carries the gradient.
    old_values_T: [T] float32 the same before the first update; returns_T: [T] float32 what they should be.
    mask_T, sequence_T: as in SupervisedTerms.
    """

    values_T: Tensor
    old_values_T: Tensor
    returns_T: Tensor
    mask_T: Tensor
    sequence_T: Tensor


class Experience(NamedTuple):
    """A whole rollout, judged: what advantages are computed from.

    rewards_N: [N] float32.
    group_N: [N] int64 index of each sample's prompt.
    mask_T: [T] float32, 1 where the policy sampled the token and it counts in the loss.
    sequence_T: [T] int64 index of the token's sample, ascending.
    reward_terms: [N] float32 of each reward by its label, before they are weighted and added up.
    term_weights: what each is multiplied by, by the same labels.
    baselines_N: [N] float32 reward of the most likely response to the same prompt; None where nobody samples it.
    old_logprobs_T, ref_logprobs_T: [T] float32 of the policy that sampled and of the reference; None where nobody asks.
    values_T: [T] float32 that a critic gives to the state before each token; None where there is no critic.
    teacher_logprobs_T: [T] float32 of each token under the teacher; None where there is none.
    sampled_N: [N] float32 tokens that the policy sampled, those that are masked too; None where none of them is.
    own_advantages_T: [T] float32, 0 where masked, what a function of the experiment's own says in the place of a
        comparison within groups; None where there is none.
    """

    rewards_N: Tensor
    group_N: Tensor
    mask_T: Tensor
    sequence_T: Tensor
    reward_terms: Mapping[str, Tensor]
    term_weights: Mapping[str, float]
    baselines_N: Tensor | None = None
    old_logprobs_T: Tensor | None = None
    ref_logprobs_T: Tensor | None = None
    values_T: Tensor | None = None
    teacher_logprobs_T: Tensor | None = None
    sampled_N: Tensor | None = None
    own_advantages_T: Tensor | None = None


class Advantages(NamedTuple):
    """advantages_T: [T] float32, 0 where masked; returns_T: [T] what a critic learns, where there is one."""

    advantages_T: Tensor
    returns_T: Tensor | None = None


class Totals(NamedTuple):
    """Counts over the whole global batch: all micro-batches, all devices.

    `num_tokens` counts unmasked tokens, `num_sequences` all sequences, `num_nonempty` those with an unmasked token,
    `num_right_tokens` unmasked tokens of responses that are right.
    """

    num_tokens: int
    num_sequences: int
    num_nonempty: int
    num_right_tokens: int = 0


class MetricSum(NamedTuple):
    """One micro-batch's sum of a metric, and which total the sum over all micro-batches is divided by."""

    value: Tensor
    over: Literal["tokens", "right_tokens", "sequences", "pairs"]


class LossOutput(NamedTuple):
    """One micro-batch's share of the loss (a scalar with gradient), and sums to report (without)."""

    loss: Tensor
    metrics: Mapping[str, MetricSum]


class Algorithm(Protocol):
    """A module of stdlib/algorithms/, as a trainer sees it.  `params` is an instance of the module's own Params."""

    def loss(self, params: Any, terms: Any, totals: Totals) -> LossOutput:
        """Return the micro-batch's share of the loss."""
        ...


class CriticAlgorithm(Protocol):
    """An algorithm with a critic, as the critic sees it."""

    def value_loss(self, critic: Any, terms: ValueTerms, totals: Totals) -> LossOutput:
        """Return the micro-batch's share of the critic's loss."""
        ...


class PolicyAlgorithm(Algorithm, Protocol):
    """An algorithm of kind "policy", as a schedule sees it."""

    def advantages(self, params: Any, experience: Experience) -> Advantages:
        """Return what each token of a rollout is worth."""
        ...
