"""Samples and their advantages, laid end to end as batches for the trainer.

Shape letters: N sequences, T tokens of all sequences end to end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from compiler.diagnostics.diagnostic import InternalError
from stdlib.samples import Group, Sample, TrainBatch


def rewards_of(groups: Sequence[Group]) -> torch.Tensor:
    """Return rewards_BG: [B, G] float32.  Every sample has been judged."""
    return torch.tensor([[reward_of(sample) for sample in group.samples] for group in groups], dtype=torch.float32)


def policy_batch(samples: Sequence[Sample], advantages_N: Sequence[float]) -> TrainBatch:
    """Return samples as one batch; each sampled token carries its sample's advantage."""
    tokens: list[int] = []
    mask: list[float] = []
    logprobs: list[float] = []
    versions: list[int] = []
    advantages: list[float] = []
    lengths: list[int] = []
    for sample, advantage in zip(samples, advantages_N, strict=True):
        before = len(tokens)
        for segment in sample.segments:
            count = len(segment.tokens)
            tokens += segment.tokens
            mask += [1.0 if segment.is_sampled else 0.0] * count
            logprobs += segment.logprobs if segment.is_sampled else [0.0] * count
            versions += segment.versions if segment.is_sampled else [-1] * count
            advantages += [advantage if segment.is_sampled else 0.0] * count
        lengths.append(len(tokens) - before)
    return TrainBatch(
        tokens_T=torch.tensor(tokens, dtype=torch.int64),
        lengths_N=tuple(lengths),
        mask_T=torch.tensor(mask, dtype=torch.float32),
        rollout_logprobs_T=torch.tensor(logprobs, dtype=torch.float32),
        versions_T=torch.tensor(versions, dtype=torch.int64),
        advantages_T=torch.tensor(advantages, dtype=torch.float32),
    )


def raw_reward_of(sample: Sample) -> float:
    """Return the reward of a sample before shaping."""
    return reward_of(sample) if sample.raw_reward is None else sample.raw_reward


def reward_of(sample: Sample) -> float:
    """Return the reward of a sample, which has been judged."""
    if sample.reward is None:
        raise InternalError(f"{sample.id} was not judged")
    return sample.reward
