"""What becomes of drafted tokens once the model has said what it makes of them.

A draft of K tokens is run through the model at once, which gives the distribution at each of its K + 1 positions: those
of the drafted tokens and the one behind them.  Of a row those drafts are kept that stand before the first one which is
not accepted, and one more token is drawn from the model.  Every token has the model's own distribution, whoever drafts.

There are two ways.  `coupled` draws at each position as the engine would without drafts, with the same uniform number,
and keeps a draft if it is that token: what a sample says depends on its draws alone and not on where a draft began, so
that preempted, resumed and batched sequences stay what they are (docs/decisions/0006), bit for bit.  `by_rejection`
accepts a draft x with probability min(1, p(x) / q(x)) and else draws from what p has more than q; it accepts as often
as can be, and lets a sample depend on where its drafts began.
Papers: Leviathan et al., arXiv:2211.17192, algorithm 1, and Chen et al., arXiv:2302.01318, algorithm 2 (by_rejection);
Daliri et al., arXiv:2408.07978 (what does not depend on the drafter).

Shapes: R rows, K drafted tokens, S = K + 1 positions, V vocabulary.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from runtime.engines.rollout.native.draws import mix
from runtime.engines.rollout.native.sampling import Sampler, inverted

_DRAFTED: Final = 0x5851F42D4C957F2D
_ACCEPTED: Final = 0x14057B7EF767814F


class Verified(NamedTuple):
    """The tokens that rows get of one pass.

    tokens_RS: [R, S] int64, -1 behind those of a row.  logprobs_RS: [R, S] float32 natural logs as the sampler tells
    them, 0 there.  num_accepted_R: [R] drafts that were kept; a row gets one token more.
    """

    tokens_RS: Tensor
    logprobs_RS: Tensor
    num_accepted_R: Tensor


class DraftStreams(NamedTuple):
    """Streams of uniform numbers beside that of a sample's tokens, by the position in the response as theirs are."""

    drafted: int
    accepted: int


def draft_streams(stream: int) -> DraftStreams:
    """Return the streams for drafting and for accepting that belong to a group's own one."""
    return DraftStreams(mix(stream ^ _DRAFTED), mix(stream ^ _ACCEPTED))


def coupled(sampler: Sampler, logits_RSV: Tensor, draft_RK: Tensor, uniform_RS: Tensor) -> Verified:
    """Keep the drafts that the engine would have drawn itself.

    Args:
        sampler: of R * S rows, the positions of a row one after another.
        logits_RSV: [R, S, V] after each token that stands before a position, drafts taken as they are.
        uniform_RS: [R, S] float64 the draws of the positions.
    """
    token_N, logprob_N = sampler.draw(logits_RSV.flatten(0, 1), uniform_RS.flatten())
    token_RS, logprob_RS = token_N.view(uniform_RS.shape), logprob_N.view(uniform_RS.shape)
    return _up_to(token_RS, logprob_RS, _leading(token_RS[:, :-1] == draft_RK))


def by_rejection(
    sampler: Sampler,
    logits_RSV: Tensor,
    draft_RK: Tensor,
    draft_prob_RKV: Tensor,
    *,
    uniform_RS: Tensor,
    accept_RK: Tensor,
) -> Verified:
    """Accept drafts as often as their distribution allows.

    Args:
        sampler: of R * S rows, the positions of a row one after another.
        logits_RSV: [R, S, V] after each token that stands before a position, drafts taken as they are.
        draft_prob_RKV: [R, K, V] the distributions that the drafts were drawn from, with draws independent of those
            here; one token may have all.
        uniform_RS: [R, S] float64 the draws of the positions, for the one token that is no draft.
        accept_RK: [R, K] float64 draws that decide about drafts.
    """
    prob_NV, told_NV = sampler.distribution(logits_RSV.flatten(0, 1))
    prob_RSV, told_RSV = prob_NV.view(logits_RSV.shape), told_NV.view(logits_RSV.shape)
    wanted_RK = prob_RSV[:, :-1].gather(-1, draft_RK[..., None])[..., 0].double()
    offered_RK = draft_prob_RKV.gather(-1, draft_RK[..., None])[..., 0].double()
    num_accepted_R = _leading(accept_RK * offered_RK < wanted_RK)
    row_R = torch.arange(len(draft_RK))
    # Behind an accepted draft nothing was offered: what the model has more than it is all that the model has.
    offered_RSV = torch.cat([draft_prob_RKV, torch.zeros_like(prob_RSV[:, :1])], dim=1)
    own_RV = prob_RSV[row_R, num_accepted_R]
    more_RV = (own_RV.double() - offered_RSV[row_R, num_accepted_R]).clamp_(min=0.0)
    # Where rounding alone rejected, both are the same.
    more_RV = torch.where(more_RV.sum(-1, keepdim=True) > 0, more_RV, own_RV.double())
    last_R1 = inverted(more_RV, uniform_RS[row_R, num_accepted_R])
    token_RS = torch.cat([draft_RK, draft_RK.new_zeros(len(draft_RK), 1)], dim=1)
    token_RS = token_RS.scatter(1, num_accepted_R[:, None], last_R1)
    logprob_RS = told_RSV.gather(-1, token_RS[..., None])[..., 0].log()
    return _up_to(token_RS, logprob_RS, num_accepted_R)


def _leading(is_kept_RK: Tensor) -> Tensor:
    """Return [R] how many drafts stand before the first one that is not kept."""
    return is_kept_RK.long().cumprod(-1).sum(-1)


def _up_to(token_RS: Tensor, logprob_RS: Tensor, num_accepted_R: Tensor) -> Verified:
    is_behind_RS = torch.arange(token_RS.shape[1]) > num_accepted_R[:, None]
    return Verified(token_RS.masked_fill(is_behind_RS, -1), logprob_RS.masked_fill(is_behind_RS, 0.0), num_accepted_R)
