"""Samples and their advantages, laid end to end as batches for the trainer.

Shape letters: N sequences, T tokens of all sequences end to end, L layers with experts, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import accumulate, chain
from typing import Any

import torch

from compiler.diagnostics.diagnostic import InternalError
from stdlib.samples import Sample, TrainBatch


def policy_batch(samples: Sequence[Sample]) -> TrainBatch:
    """Return samples as one batch, end to end in their order; nobody has said yet what they are worth."""
    tokens: list[int] = []
    mask: list[float] = []
    logprobs: list[float] = []
    versions: list[int] = []
    lengths: list[int] = []
    for sample in samples:
        before = len(tokens)
        for segment in sample.segments:
            count = len(segment.tokens)
            tokens += segment.tokens
            mask += [1.0 if segment.is_sampled else 0.0] * count
            logprobs += segment.logprobs if segment.is_sampled else [0.0] * count
            versions += segment.versions if segment.is_sampled else [-1] * count
        lengths.append(len(tokens) - before)
    return TrainBatch(
        tokens_T=torch.tensor(tokens, dtype=torch.int64),
        lengths_N=tuple(lengths),
        mask_T=torch.tensor(mask, dtype=torch.float32),
        rollout_logprobs_T=torch.tensor(logprobs, dtype=torch.float32),
        versions_T=torch.tensor(versions, dtype=torch.int64),
        advantages_T=torch.zeros(len(tokens)),
        expert_ids_TLC=_expert_ids(samples, lengths),
    )


def _expert_ids(samples: Sequence[Sample], lengths: Sequence[int]) -> torch.Tensor | None:
    """Return [T, L, C] int16 the recorded experts, -1 where a token has none; None where nobody recorded any."""
    found = next((sample.expert_ids for sample in samples if sample.expert_ids is not None), None)
    if found is None:
        return None
    ids_TLC = torch.full((sum(lengths), *found.ids_TLC.shape[1:]), -1, dtype=torch.int16)
    for sample, start, length in zip(samples, accumulate(lengths, initial=0), lengths, strict=False):
        if sample.expert_ids is not None:
            own_TLC = sample.expert_ids.ids_TLC[:length]
            ids_TLC[start : start + own_TLC.shape[0]] = own_TLC
    return ids_TLC


def select(batch: TrainBatch, sequences: Sequence[int]) -> TrainBatch:
    """Return some sequences of a batch as a batch, in the order that they are asked for."""
    starts = list(accumulate(batch.lengths_N, initial=0))
    at_T = torch.tensor(
        list(chain.from_iterable(range(starts[i], starts[i + 1]) for i in sequences)), dtype=torch.int64
    )
    changed: dict[str, Any] = {
        field.name: value[at_T]
        for field in fields(batch)
        if field.name != "targets_N" and isinstance(value := batch.__dict__[field.name], torch.Tensor)
    }
    if batch.targets_N is not None:
        changed["targets_N"] = batch.targets_N[list(sequences)]
    return replace(batch, **changed, lengths_N=tuple(batch.lengths_N[i] for i in sequences))


def sequence_of_token(lengths: Sequence[int]) -> torch.Tensor:
    """Return [T] int64 index of each token's sequence."""
    return torch.repeat_interleave(torch.tensor(lengths, dtype=torch.int64))


def raw_reward_of(sample: Sample) -> float:
    """Return the reward of a sample before shaping."""
    return reward_of(sample) if sample.raw_reward is None else sample.raw_reward


def is_right(sample: Sample, correct_at: float) -> bool:
    """Whether a sample was judged, and its reward before shaping reaches a bound."""
    return not sample.has_failed and raw_reward_of(sample) >= correct_at


def reward_of(sample: Sample) -> float:
    """Return the reward of a sample, which has been judged."""
    if sample.reward is None:
        raise InternalError(f"{sample.id} was not judged")
    return sample.reward
