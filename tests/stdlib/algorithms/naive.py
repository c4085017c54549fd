"""Losses and advantages of every algorithm, written as their papers have them: a loop over single tokens.

Nothing is shared with what is tested: no tensor of tokens, no mask arithmetic, no clamp that carries a gradient.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from stdlib.algorithms._terms import Experience, Totals

EPS = 1e-6


def sequences_of(terms: Any) -> Iterator[list[int]]:
    """Yield the unmasked tokens of each sequence; none of one that is left out."""
    for n in range(int(terms.sequence_T.max()) + 1):
        yield [t for t, (s, m) in enumerate(zip(terms.sequence_T, terms.mask_T, strict=True)) if s == n and m]


def reduced(terms: Any, totals: Totals, loss: Any, of_token: Callable[[list[int], int], Tensor]) -> Tensor:
    """Return the mean over tokens, or over sequences of their means."""
    total = torch.zeros((), dtype=torch.float64)
    for tokens in sequences_of(terms):
        for t in tokens:
            by_token = loss.reduction == "token"
            share = totals.num_tokens if by_token else len(tokens) * totals.num_sequences
            total = total + of_token(tokens, t) / share
    return total


def policy(terms: Any, totals: Totals, loss: Any, surrogate: Callable[[Any, Any, list[int], int], Tensor]) -> Tensor:
    """Return weight * surrogate - entropy bonus + k3 against the reference."""

    def of_token(tokens: list[int], t: int) -> Tensor:
        gap = terms.ref_logprobs_T[t] - terms.logprobs_T[t]
        found = terms.weights_T[t] * surrogate(terms, loss, tokens, t)
        return found - loss.entropy_coef * terms.entropy_T[t] + loss.kl.coef * (gap.exp() - 1 - gap)

    return reduced(terms, totals, loss, of_token)


def ratio(terms: Any, t: int) -> Tensor:
    """Return policy / old policy of one token."""
    return (terms.logprobs_T[t] - terms.old_logprobs_T[t]).exp()


def between(x: Tensor, low: float, high: float) -> Tensor:
    """Return x, or the bound that it is beyond, which has no gradient."""
    at = float(x.detach())
    return torch.full_like(x, low) if at < low else torch.full_like(x, high) if at > high else x


def clipped(terms: Any, loss: Any, tokens: list[int], t: int) -> Tensor:
    """PPO, eq. 7."""
    return _smaller(ratio(terms, t), terms.advantages_T[t], loss)


def clipped_sequence(terms: Any, loss: Any, tokens: list[int], t: int) -> Tensor:
    """GSPO, eq. 5 and 7: the geometric mean of the response's ratios."""
    product = torch.ones((), dtype=torch.float64)
    for other in tokens:
        product = product * ratio(terms, other)
    return _smaller(product ** (1 / len(tokens)), terms.advantages_T[t], loss)


def _smaller(r: Tensor, advantage: Tensor, loss: Any) -> Tensor:
    plain, bounded = r * advantage, between(r, 1 - loss.clip_low, 1 + loss.clip_high) * advantage
    return -plain if plain.item() <= bounded.item() else -bounded


def weighted(terms: Any, loss: Any, tokens: list[int], t: int) -> Tensor:
    """CISPO, eq. 4 and 5."""
    weight = float(between(ratio(terms, t).detach(), 1 - loss.clip_low, 1 + loss.clip_high))
    return -weight * terms.advantages_T[t] * terms.logprobs_T[t]


def gated(terms: Any, loss: Any, tokens: list[int], t: int) -> Tensor:
    """SAPO, eq. 5 to 7."""
    advantage = terms.advantages_T[t]
    tau = loss.gate_positive if float(advantage) > 0 else loss.gate_negative
    return -(4.0 / tau) * advantage / (1.0 + (-tau * (ratio(terms, t) - 1.0)).exp())


def reinforce(terms: Any, loss: Any, tokens: list[int], t: int) -> Tensor:
    """The policy gradient."""
    return -terms.advantages_T[t] * terms.logprobs_T[t]


def likelihood(terms: Any, totals: Totals, loss: Any) -> Tensor:
    """The negative log-likelihood."""
    return reduced(terms, totals, loss, lambda _, t: -terms.logprobs_T[t])


def mixture(terms: Any, totals: Totals, loss: Any) -> Tensor:
    """On-policy distillation with a weight on each of both divergences."""
    forward = loss.forward_weight
    return reduced(
        terms, totals, loss, lambda _, t: forward * terms.forward_kl_T[t] + (1 - forward) * terms.reverse_kl_T[t]
    )


def preference(terms: Any, totals: Totals, loss: Any) -> Tensor:
    """DPO, eq. 7, and the likelihood of the better answer."""
    answers = list(sequences_of(terms))
    total = torch.zeros((), dtype=torch.float64)
    for better, worse in zip(answers[::2], answers[1::2], strict=True):
        gains = [sum(terms.logprobs_T[t] - terms.ref_logprobs_T[t] for t in tokens) for tokens in (better, worse)]
        mean = sum(terms.logprobs_T[t] for t in better) / max(len(better), 1)
        total = total + (1.0 + (-loss.beta * (gains[0] - gains[1])).exp()).log() - loss.sft_coef * mean
    return total / (totals.num_sequences // 2)


def value(terms: Any, totals: Totals, critic: Any) -> Tensor:
    """PPO with a clipped value."""

    def of_token(_: list[int], t: int) -> Tensor:
        old, target = terms.old_values_T[t], terms.returns_T[t]
        near = old + between(terms.values_T[t] - old, -critic.value_clip, critic.value_clip)
        plain, bounded = (terms.values_T[t] - target) ** 2, (near - target) ** 2
        return critic.loss_scale * (plain if plain.item() >= bounded.item() else bounded)

    return reduced(terms, totals, critic, of_token)


def of_group(rewards: list[float], i: int, *, divide: bool = True) -> float:
    """GRPO, section 4.1.2."""
    above = rewards[i] - statistics.fmean(rewards)
    return above / (statistics.stdev(rewards) + EPS) if divide else above


def group_advantage(experience: Experience, n: int, rewards_N: Tensor | None = None) -> float:
    """Return what a sample did better than its group."""
    rewards_N = experience.rewards_N if rewards_N is None else rewards_N
    members = [m for m in range(len(rewards_N)) if experience.group_N[m] == experience.group_N[n]]
    return of_group([float(rewards_N[m]) for m in members], members.index(n))


def others_advantage(experience: Experience, n: int) -> float:
    """RLOO, eq. 10."""
    same = [m for m in range(len(experience.rewards_N)) if experience.group_N[m] == experience.group_N[n]]
    return float(experience.rewards_N[n]) - statistics.fmean(float(experience.rewards_N[m]) for m in same if m != n)


def greedy_advantage(experience: Experience, n: int) -> float:
    """ReMax, algorithm 1."""
    assert experience.baselines_N is not None
    return float(experience.rewards_N[n] - experience.baselines_N[n])


def several_advantage(experience: Experience, n: int) -> float:
    """GDPO, eq. 4 to 6."""
    sums = [
        sum(experience.term_weights[k] * group_advantage(experience, m, r) for k, r in experience.reward_terms.items())
        for m in range(len(experience.rewards_N))
    ]
    return (sums[n] - statistics.fmean(sums)) / (statistics.stdev(sums) + EPS)


def over_tokens(experience: Experience, of_sample: Callable[[Experience, int], float]) -> list[float]:
    """Return the sample's advantage at each of its unmasked tokens."""
    found = [0.0] * len(experience.mask_T)
    for n, tokens in enumerate(sequences_of(experience)):
        for t in tokens:
            found[t] = of_sample(experience, n)
    return found


def taught(experience: Experience, coef: float) -> list[float]:
    """What the teacher says of each token, less what the student does."""
    assert experience.old_logprobs_T is not None
    assert experience.teacher_logprobs_T is not None
    gaps = (experience.teacher_logprobs_T - experience.old_logprobs_T).tolist()
    return [coef * gap if m else 0.0 for gap, m in zip(gaps, experience.mask_T, strict=True)]


def returns(experience: Experience, gamma: float) -> list[float]:
    """REINFORCE++, eq. 6 to 9, without a penalty."""
    found = [0.0] * len(experience.mask_T)
    for n, tokens in enumerate(sequences_of(experience)):
        for k, t in enumerate(tokens):
            found[t] = float(experience.rewards_N[n]) * gamma ** (len(tokens) - 1 - k)
    return whitened(experience, found)


def estimated(experience: Experience, gamma: float, lam: float) -> list[float]:
    """GAE, eq. 16."""
    assert experience.values_T is not None
    found = [0.0] * len(experience.mask_T)
    for n, tokens in enumerate(sequences_of(experience)):
        values = [float(experience.values_T[t]) for t in tokens] + [0.0]
        rewards = [0.0] * (len(tokens) - 1) + [float(experience.rewards_N[n])]
        deltas = [rewards[k] + gamma * values[k + 1] - values[k] for k in range(len(tokens))]
        for k, t in enumerate(tokens):
            found[t] = sum((gamma * lam) ** (j - k) * deltas[j] for j in range(k, len(tokens)))
    return whitened(experience, found)


def whitened(experience: Experience, found: list[float]) -> list[float]:
    """Return numbers of mean 0 and variance 1 over unmasked tokens."""
    there = [x for x, m in zip(found, experience.mask_T, strict=True) if m]
    mean, scale = statistics.fmean(there), (statistics.variance(there) + 1e-8) ** -0.5
    return [(x - mean) * scale if m else 0.0 for x, m in zip(found, experience.mask_T, strict=True)]
