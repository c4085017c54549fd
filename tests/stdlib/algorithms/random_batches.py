"""Random micro-batches and rollouts, as every algorithm of a kind is given them, and parts of them.

Shape letters: T tokens, N sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stdlib.algorithms._terms import (
    DistillationTerms,
    Experience,
    PolicyTerms,
    PreferenceTerms,
    SupervisedTerms,
    Totals,
    ValueTerms,
)

TERMS: dict[str, Any] = {
    "supervised": SupervisedTerms,
    "policy": PolicyTerms,
    "preference": PreferenceTerms,
    "distillation": DistillationTerms,
    "value": ValueTerms,
}
# Prompts, sampled tokens, and what a tool said between two turns; the fifth response is left out altogether.
MASKS = ((0, 1, 1, 0, 1), (0, 0, 1), (1, 1, 1, 1), (0, 1, 0, 0), (0, 0), (0, 1, 1))


def random_terms(kind: str, *, seed: int = 0) -> Any:
    """Return terms in float64 of six sequences, the gradient carried by their first field; [loss] reduces them."""
    generator = torch.Generator().manual_seed(seed)
    record = TERMS[kind]
    num_tokens = sum(map(len, MASKS))
    drawn = {
        name: torch.randn(num_tokens, generator=generator, dtype=torch.float64)
        for name in record._fields
        if name not in ("mask_T", "sequence_T", "reduction_T")
    }
    if "logprobs_T" in drawn:
        old_T = -drawn["logprobs_T"].abs() - 0.2
        drawn = {n: old_T + 0.4 * x if n.endswith("logprobs_T") else x for n, x in drawn.items()}
    if "weights_T" in drawn:
        drawn["weights_T"] = drawn["weights_T"].exp()
    drawn["mask_T"] = torch.tensor([m for mask in MASKS for m in mask], dtype=torch.float64)
    drawn["sequence_T"] = torch.repeat_interleave(torch.tensor([len(mask) for mask in MASKS]))
    return carrying(record(**drawn))


def carrying(terms: Any) -> Any:
    """Return the terms with a gradient of their own, and for the entropy as well."""
    names = [terms._fields[0], *(name for name in terms._fields if name in ("entropy_T", "reverse_kl_T"))]
    return terms._replace(**{name: getattr(terms, name).detach().clone().requires_grad_() for name in names})


def totals_of(terms: Any) -> Totals:
    """Return the totals of a global batch that is this one micro-batch."""
    counted = terms.sequence_T[terms.mask_T > 0]
    return Totals(int(terms.mask_T.sum()), int(terms.sequence_T.max()) + 1, len(counted.unique()))


def chosen(terms: Any, sequences: Sequence[int]) -> tuple[Any, Tensor]:
    """Return the terms of some sequences, in that order, and [T'] where their tokens stood."""
    at_T = torch.cat([(terms.sequence_T == n).nonzero()[:, 0] for n in sequences])
    lengths = torch.tensor([int((terms.sequence_T == n).sum()) for n in sequences])
    parts = {name: getattr(terms, name) for name in terms._fields}
    found = {n: None if x is None else x.detach()[at_T] for n, x in parts.items()}
    return carrying(terms._replace(**{**found, "sequence_T": torch.repeat_interleave(lengths)})), at_T


def with_junk(terms: Any, junk: float) -> Any:
    """Return the terms with another number at every token that is masked."""
    masked_T = terms.mask_T == 0
    names = [n for n in terms._fields if n not in ("mask_T", "sequence_T") and getattr(terms, n) is not None]
    return carrying(terms._replace(**{n: getattr(terms, n).detach().masked_fill(masked_T, junk) for n in names}))


def random_experience(*, seed: int = 0) -> Experience:
    """Return a judged rollout of three groups of two, with all that anybody asks for."""
    terms = random_terms("policy", seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    rewards = [torch.randn(len(MASKS), generator=generator, dtype=torch.float64) for _ in range(3)]
    return Experience(
        rewards_N=rewards[0],
        group_N=torch.tensor([0, 0, 0, 1, 1, 1]),
        mask_T=terms.mask_T,
        sequence_T=terms.sequence_T,
        reward_terms={"one": rewards[0], "two": rewards[1]},
        term_weights={"one": 1.0, "two": 0.5},
        baselines_N=rewards[2],
        old_logprobs_T=terms.old_logprobs_T,
        ref_logprobs_T=terms.ref_logprobs_T,
        teacher_logprobs_T=terms.rollout_logprobs_T,
        values_T=terms.advantages_T,
    )


def reordered(experience: Experience, order: Sequence[int]) -> tuple[Experience, Tensor]:
    """Return the rollout with its samples in another order, and [T] where their tokens stood."""
    at_T = torch.cat([(experience.sequence_T == n).nonzero()[:, 0] for n in order])
    at_N = torch.tensor(order)
    lengths = torch.tensor([int((experience.sequence_T == n).sum()) for n in order])
    by_token = ("mask_T", "old_logprobs_T", "ref_logprobs_T", "teacher_logprobs_T", "values_T")
    by_sample = ("rewards_N", "group_N", "baselines_N")
    found = experience._replace(
        **{name: getattr(experience, name)[at_T] for name in by_token},
        **{name: getattr(experience, name)[at_N] for name in by_sample},
        sequence_T=torch.repeat_interleave(lengths),
        reward_terms={name: rewards_N[at_N] for name, rewards_N in experience.reward_terms.items()},
    )
    return found, at_T
