"""From a judged rollout to a batch that says what each token is worth.

Log-probs that somebody asks for are computed once for the whole rollout, before the first update; then what engine and
trainer disagree on is corrected for, and the algorithm says the advantages.

Shape letters: N samples, T tokens of all samples end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Never

import torch

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import DistillationLoss, PolicyLoss, TaughtParams
from compiler.ir.openness import Off
from compiler.ir.rollout import Reward, Rollout
from runtime.logprob_gap import GapMeter, token_bound_of
from runtime.rewards.open_terms import label_of
from runtime.stage_job import StageJob
from runtime.train_batches import is_right, policy_batch, reward_of, sequence_of_token
from stdlib.algorithms._correction import Gap, correction, is_needed
from stdlib.algorithms._terms import Experience
from stdlib.samples import Group, Sample, TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A whole rollout, in the order of its groups, ready to be cut into optimizer batches."""

    batch: TrainBatch
    metrics: dict[str, float]


def prepare(job: StageJob, groups: Sequence[Group], baselines: Sequence[Group] | None) -> Prepared:
    """Return the rollout with log-probs, weights and advantages.

    Args:
        baselines: of each group the greedy response, where the algorithm compares with it.
    """
    loss = job.stage.algorithm.loss
    samples = [sample for group in groups for sample in group.samples]
    if isinstance(loss, DistillationLoss):  # the trainer compares distributions, which are too large to keep
        masked = _masked(job, samples)
        return Prepared(batch=replace(masked, compared_T=_compared(job, masked)), metrics={})
    if not isinstance(loss, PolicyLoss):
        raise InternalError("a rollout for an algorithm that does not sample")
    batch = _with_logprobs(job, _masked(job, samples), loss.old_logprobs)
    batch, metrics = _with_gap(job, batch)
    sequence_T = sequence_of_token(batch.lengths_N)
    if is_needed(loss):
        batch, corrected = _corrected(job, batch, loss, sequence_T)
        metrics |= corrected
    if not isinstance(loss.positive_nll, Off):
        right_N = torch.tensor([float(is_right(s, loss.positive_nll.correct_at)) for s in samples])
        batch = replace(batch, is_right_T=right_N[sequence_T])
    if job.actors.critic is not None:
        batch = replace(batch, values_T=job.actors.critic.values(batch))
    teacher_T = None
    if isinstance(job.stage.algorithm, TaughtParams):
        teacher_T = job.actors.trained_policy().logprobs(batch, of="teacher")
    sizes = torch.tensor([len(group.samples) for group in groups])
    experience = Experience(
        rewards_N=_rewards_of(job, samples),
        group_N=torch.repeat_interleave(sizes),
        mask_T=batch.mask_T,
        sequence_T=sequence_T,
        reward_terms=_terms_of(samples),
        term_weights=_weights_of(job.stage.reward),
        baselines_N=None if baselines is None else _greedy_rewards(baselines, sizes),
        old_logprobs_T=batch.rollout_logprobs_T if batch.old_logprobs_T is None else batch.old_logprobs_T,
        ref_logprobs_T=batch.ref_logprobs_T,
        values_T=batch.values_T,
        teacher_logprobs_T=teacher_T,
        sampled_N=torch.tensor([float(sample.num_response_tokens) for sample in samples]),
    )
    own_T = job.functions.advantages_of(experience, _when(job))
    experience = experience._replace(own_advantages_T=own_T)
    found = job.actors.algorithm.advantages(job.stage.algorithm, experience)
    return Prepared(batch=replace(batch, advantages_T=found.advantages_T, returns_T=found.returns_T), metrics=metrics)


def _when(job: StageJob) -> str:
    return f"in step {job.progress.step + 1} of stage {job.stage.name}"


def _masked(job: StageJob, samples: Sequence[Sample]) -> TrainBatch:
    """The samples as a batch, in which what [rollout] says does not count: cut responses, tokens of older weights."""
    batch, rollout = policy_batch(samples), job.stage.rollout
    if not isinstance(rollout, Rollout):
        return batch
    mask_T = batch.mask_T
    if rollout.truncated_responses == "mask":
        counts_N = torch.tensor([float(sample.finish != "length") for sample in samples])
        mask_T = mask_T * counts_N[sequence_of_token(batch.lengths_N)]
    if not isinstance(rollout.buffer, Off) and rollout.buffer.stale_tokens == "mask":
        mask_T = mask_T * (batch.versions_T == job.progress.weights_version)
    return replace(batch, mask_T=mask_T)


def _with_logprobs(job: StageJob, batch: TrainBatch, old_logprobs: str) -> TrainBatch:
    """Fill in log-probs of the policy before its first update, and of the reference, where somebody asks for them."""
    trainer = job.actors.trained_policy()
    if old_logprobs == "recompute":
        batch = trainer.with_old_logprobs(batch)
    if not isinstance(job.stage.reference, Off):
        batch = replace(batch, ref_logprobs_T=trainer.logprobs(batch, of="reference"))
    return batch


def _with_gap(job: StageJob, batch: TrainBatch) -> tuple[TrainBatch, dict[str, float]]:
    """Hold the engine's log-probs against the trainer's: here where they are known, else in the first optimizer step,
    which has the same weights and computes them anyway.
    """
    compared_T = _compared(job, batch)
    if batch.old_logprobs_T is None:
        return replace(batch, compared_T=compared_T), {}
    meter = GapMeter(token_bound_of(job.stage))
    meter.add(batch.old_logprobs_T, batch.rollout_logprobs_T, compared_T)
    return batch, meter.metrics()


def _compared(job: StageJob, batch: TrainBatch) -> torch.Tensor:
    """Return [T] float32, 1 where a token counts and was sampled from the weights that are trained now."""
    return batch.mask_T * (batch.versions_T == job.progress.weights_version)


def _corrected(
    job: StageJob, batch: TrainBatch, loss: PolicyLoss[Never], sequence_T: torch.Tensor
) -> tuple[TrainBatch, dict[str, float]]:
    if batch.old_logprobs_T is None:
        raise InternalError("an off-policy correction without the trainer's log-probs")
    gap = Gap(batch.old_logprobs_T, batch.rollout_logprobs_T, batch.mask_T, sequence_T)
    found = correction(loss, gap, job.functions.weigh(_when(job)))
    return replace(batch, mask_T=found.mask_T, weights_T=found.weights_T), found.metrics


def _rewards_of(job: StageJob, samples: Sequence[Sample]) -> torch.Tensor:
    """Return [N] float32 rewards; zeros where nothing is judged."""
    if isinstance(job.stage.reward, Off):
        return torch.zeros(len(samples))
    return torch.tensor([reward_of(sample) for sample in samples], dtype=torch.float32)


def _terms_of(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Return [N] of each reward that all samples have been judged by."""
    labels = samples[0].reward_terms if samples else {}
    return {
        label: torch.tensor([sample.reward_terms[label] for sample in samples], dtype=torch.float32)
        for label in labels
        if all(label in sample.reward_terms for sample in samples)
    }


def _weights_of(reward: Reward[Never] | Off) -> dict[str, float]:
    """Return what each of several rewards is multiplied by."""
    if isinstance(reward, Off):
        return {}
    return {label_of(term): term.weight for term in reward.terms}


def _greedy_rewards(baselines: Sequence[Group], sizes: torch.Tensor) -> torch.Tensor:
    """Return [N] the reward of the greedy response to each sample's prompt."""
    rewards_G = torch.tensor([reward_of(group.samples[0]) for group in baselines], dtype=torch.float32)
    return torch.repeat_interleave(rewards_G, sizes)
