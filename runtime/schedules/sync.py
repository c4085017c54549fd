"""The synchronous schedule: sample, judge, train, send weights, and again.

`policy_step` samples with the weights of the step before and trains on all of it; `supervised_step` only trains.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.data.demonstrations import Demonstration, supervised_batch
from runtime.data.order import permutation
from runtime.protocols import DrawKey
from runtime.stage_job import StageJob
from runtime.train_batches import policy_batch, raw_reward_of, reward_of, rewards_of
from stdlib.samples import Group, Prompt, TrainBatch

if TYPE_CHECKING:
    from torch import Tensor


class PolicySchedule:
    """Steps of a stage that trains on what it samples."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._prompts = prompts

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Take one rollout and all optimizer steps on it; return their metrics."""
        sync_s, started = job.sync(), time.perf_counter()
        groups = await self._sample(job)
        sampled = time.perf_counter()
        metrics = rollout_metrics(groups)
        if job.actors.reward is not None:
            metrics.update(job.actors.reward.take_metrics())
        advantages_BG = job.actors.algorithm.advantages(job.stage.algorithm, rewards_of(groups))
        metrics.update(_train(job, groups, advantages_BG))
        trained = time.perf_counter()
        samples = [sample for group in groups for sample in group.samples]
        job.sinks.transcripts(job.progress.step + 1, samples)
        job.view.sampled(samples)
        return {
            **metrics,
            "time/sync_s": sync_s,
            "time/rollout_s": sampled - started,
            "time/train_s": trained - sampled,
            "time/tokens_per_s": metrics["rollout/tokens"] / max(sampled - started, 1e-9),
        }

    async def _sample(self, job: StageJob) -> list[Group]:
        rollout, progress = job.stage.rollout, job.progress
        if not isinstance(rollout, Rollout) or job.worker is None:
            raise InternalError("a policy stage without a rollout")
        rows = job.order.take(progress.data_position, rollout.prompts_per_step)
        groups = await job.worker.groups(
            [self._prompts[row] for row in rows],
            first_key=DrawKey(seed=job.stage.seeds.sampling, stage=progress.stage, step=progress.step, group=0),
            num_samples=rollout.samples_per_prompt,
            max_new_tokens=rollout.max_response_tokens,
            sampling=rollout.sampling,
        )
        progress.data_position += rollout.prompts_per_step
        return groups


class SupervisedSchedule:
    """Steps of a stage that imitates."""

    def __init__(self, rows: Sequence[Demonstration]) -> None:
        self._rows = rows

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Take one optimizer step on the next rows."""
        started = time.perf_counter()
        count = job.stage.train.global_batch
        rows = [self._rows[i] for i in job.order.take(job.progress.data_position, count)]
        job.progress.data_position += count
        metrics = job.actors.trainer.step(supervised_batch(rows))
        seconds = time.perf_counter() - started
        return {**metrics, "time/train_s": seconds}


def _train(job: StageJob, groups: Sequence[Group], advantages_BG: Tensor) -> dict[str, float]:
    samples = [sample for group in groups for sample in group.samples]
    batch_size, trainer = job.stage.train.global_batch, job.actors.trainer
    advantages: list[float] = advantages_BG.reshape(-1).tolist()
    order = permutation(len(samples), seed=job.stage.seeds.minibatch, epoch=job.progress.step).tolist()
    batches = [
        _with_logprobs(job, policy_batch([samples[i] for i in part], [advantages[i] for i in part]))
        for part in (order[at : at + batch_size] for at in range(0, len(order), batch_size))
    ]
    steps = [trainer.step(batch) for batch in batches]
    mean = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
    mean["train/lr"] = steps[-1]["train/lr"]
    return mean


def _with_logprobs(job: StageJob, batch: TrainBatch) -> TrainBatch:
    """Fill in log-probs of the policy before its first update, and of the reference, where the loss asks for them."""
    loss, trainer = job.stage.algorithm.loss, job.actors.trainer
    if isinstance(loss, PolicyLoss) and loss.old_logprobs == "recompute":
        batch = replace(batch, old_logprobs_T=trainer.logprobs(batch, of="policy"))
    if not isinstance(job.stage.reference, Off):
        batch = replace(batch, ref_logprobs_T=trainer.logprobs(batch, of="reference"))
    return batch


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Return what is known of a rollout before anything is trained on it."""
    samples = [sample for group in groups for sample in group.samples]
    rewards = [reward_of(sample) for sample in samples]
    raw = [raw_reward_of(sample) for sample in samples]
    labels = {label: None for sample in samples for label in sample.reward_terms}
    lengths = [sample.num_response_tokens for sample in samples]
    mean = sum(rewards) / len(rewards)
    flat = sum(len({reward_of(sample) for sample in group.samples}) == 1 for group in groups)
    terms: dict[str, float] = {"reward/raw/mean": sum(raw) / len(raw)} if raw != rewards else {}
    for label in labels if len(labels) > 1 else ():
        scores = [sample.reward_terms[label] for sample in samples if label in sample.reward_terms]
        terms[f"reward/{label}/mean"] = sum(scores) / len(scores)
    return {
        **terms,
        "reward/mean": mean,
        "reward/std": (sum((r - mean) ** 2 for r in rewards) / len(rewards)) ** 0.5,
        "rollout/response_tokens_mean": sum(lengths) / len(lengths),
        "rollout/tokens": sum(lengths),
        "rollout/truncated_frac": sum(s.finish == "length" for s in samples) / len(samples),
        "rollout/zero_std_groups_frac": flat / len(groups),
        "rollout/empty_responses": sum(not sample.text.strip() for sample in samples),
    }
