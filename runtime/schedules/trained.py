"""A rollout that is there: trained on, recorded, shown, and all that is known of it.

Every schedule of a stage that samples ends its steps here, whichever way the groups came.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from compiler.ir.algorithm import ActorCriticParams
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import Off
from compiler.ir.training import PolicyTrain
from runtime.data.order import permutation
from runtime.experience import prepare, when_of
from runtime.logprob_gap import GAP
from runtime.protocols import Counting
from runtime.recording.steps import RecordedStep, RolloutRecorder
from runtime.schedules.sampled import SampledRollout
from runtime.stage_job import StageJob
from runtime.train_batches import raw_reward_of, reward_of, select
from stdlib.samples import Group, TrainBatch


class Sampling(NamedTuple):
    """A rollout, and how long it took."""

    rollout: SampledRollout
    seconds: float


async def trained(job: StageJob, sampling: Sampling) -> dict[str, float]:
    """Train on a rollout, keep what is kept of it, and return all that is known of it."""
    rollout, sampled, metrics = sampling.rollout, time.perf_counter(), sampling.rollout.metrics
    if job.recorder is not None:
        _record(job, job.recorder, rollout)
    recorded = time.perf_counter()
    debug = job.stage.debug
    if isinstance(debug, Off) or debug.mode != "rollout_only":
        metrics = metrics | await job.actors.carry_out(train, job, rollout.groups, rollout.baselines)
    ended = time.perf_counter()
    samples = [sample for group in rollout.groups for sample in group.samples]
    job.sinks.transcripts(job.progress.step + 1, samples)
    job.view.sampled(samples)
    tokens = metrics.get("buffer/sampled_tokens", metrics["rollout/tokens"])
    return {
        **metrics,
        **({} if job.recorder is None else {"time/record_s": recorded - sampled}),
        "time/rollout_s": sampling.seconds,
        "time/train_s": ended - recorded,
        "time/tokens_per_s": tokens / max(sampling.seconds, 1e-9),
    }


def known_of(job: StageJob, groups: Sequence[Group]) -> dict[str, float]:
    """Return what is known of a rollout before anything is trained on it."""
    metrics = rollout_metrics(groups)
    if job.worker is not None and job.worker.episodes is not None:
        metrics.update(job.worker.episodes.take_metrics(groups))
    return metrics


def counted_since(job: StageJob, before: Mapping[str, int]) -> dict[str, float]:
    """Return what rewards and the engine counted since a rollout began.

    Args:
        before: what the engine had counted then.
    """
    judged = {} if job.actors.reward is None else job.actors.reward.take_metrics()
    counted = {f"engine/{name}": float(count - before[name]) for name, count in counted_by(job).items()}
    if drafted := counted.get("engine/drafted_tokens"):
        counted["engine/accepted_frac"] = counted["engine/accepted_tokens"] / drafted
    return judged | counted


def counted_by(job: StageJob) -> Mapping[str, int]:
    """Return what the engine has counted since it was made, where it counts."""
    engine = job.actors.engine
    return engine.counters() if isinstance(engine, Counting) else {}


def train(job: StageJob, groups: Sequence[Group], baselines: Sequence[Group] | None) -> dict[str, float]:
    """Take all optimizer steps on a rollout, and return their metrics.

    Args:
        baselines: of each group the greedy response, where the algorithm compares with it.
    """
    prepared = prepare(job, groups, baselines)
    batch_size = job.stage.train.global_batch
    count = len(prepared.batch.lengths_N)
    batches = [
        select(prepared.batch, order[at : at + batch_size])
        for order in _orders(job, count)
        for at in range(0, count, batch_size)
    ]
    # Where nothing counts there is nothing to learn: the truncated were masked, or the far off dropped.
    counting = [batch for batch in batches if bool(batch.mask_T.any())]
    skipped = {"train/skipped_steps": float(len(batches) - len(counting))} if len(counting) < len(batches) else {}
    # Groups that were left out make the last batch of a pass smaller, never one of several: its means are over fewer.
    short = sum(len(batch.lengths_N) < batch_size for batch in counting)
    skipped |= {"train/short_batches": float(short)} if short else {}
    # The weights of the engine are those of the first step only.
    once = [batch if at == 0 else replace(batch, compared_T=None) for at, batch in enumerate(counting)]
    steps = [_optimizer_step(job, batch) for batch in once]
    gap = {name: value for name, value in (steps[0] if steps else {}).items() if name.startswith(f"train/{GAP}")}
    names = [name for name in (steps[0] if steps else ()) if name not in gap]
    mean = {name: sum(step[name] for step in steps) / len(steps) for name in names}
    mean |= skipped | {name: steps[-1][name] for name in ("train/lr", "critic/lr") if name in mean}
    job.progress.weights_version += "train/lr" in mean
    _refresh_reference(job)
    return {**prepared.metrics, **gap, **mean}


def _record(job: StageJob, recorder: RolloutRecorder, rollout: SampledRollout) -> None:
    timeless = {name: value for name, value in rollout.metrics.items() if not name.startswith("time/")}
    recorder.write(
        job.progress.step + 1,
        RecordedStep(
            groups=rollout.groups,
            baselines=rollout.baselines,
            metrics=timeless,
            data_position=job.progress.data_position,
        ),
    )


def _orders(job: StageJob, count: int) -> Iterator[list[int]]:
    """Yield the order of each pass over the samples of a rollout; passes are counted from the start of the stage."""
    train = job.stage.train
    passes = train.epochs_per_rollout if isinstance(train, PolicyTrain) else 1
    for epoch in range(job.progress.step * passes, (job.progress.step + 1) * passes):
        yield permutation(count, seed=job.stage.seeds.minibatch, epoch=epoch).tolist()


def _optimizer_step(job: StageJob, batch: TrainBatch) -> dict[str, float]:
    """Train the critic, where there is one, and then the policy, once the critic is warm."""
    params, critic = job.stage.algorithm, job.actors.critic
    batch = job.functions.reduced(batch, when_of(job))
    if critic is None or not isinstance(params, ActorCriticParams):
        return dict(job.actors.learner.step(batch))
    learnt = critic.step(batch)
    if job.progress.step < params.critic.warmup_rollouts:
        return dict(learnt)
    return {**learnt, **job.actors.learner.step(batch)}


def _refresh_reference(job: StageJob) -> None:
    loss = job.stage.algorithm.loss
    if isinstance(loss, PolicyLoss) and not isinstance(job.stage.reference, Off):
        every = loss.kl.refresh_steps
        if not isinstance(every, Off) and (job.progress.step + 1) % every == 0:
            job.actors.trained_policy().refresh_reference()


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Return what is known of a rollout before anything is trained on it."""
    samples = [sample for group in groups for sample in group.samples]
    lengths = [sample.num_response_tokens for sample in samples]
    return {
        **(_reward_metrics(groups) if all(sample.reward is not None for sample in samples) else {}),
        "rollout/response_tokens_mean": sum(lengths) / len(lengths),
        "rollout/tokens": sum(lengths),
        "rollout/truncated_frac": sum(s.finish == "length" for s in samples) / len(samples),
        "rollout/empty_responses": sum(sample.is_empty for sample in samples),
    }


def _reward_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Return what is known of the rewards of a rollout that was judged."""
    samples = [sample for group in groups for sample in group.samples]
    rewards = [reward_of(sample) for sample in samples]
    raw = [raw_reward_of(sample) for sample in samples]
    labels = {label: None for sample in samples for label in sample.reward_terms}
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
        "rollout/zero_std_groups_frac": flat / len(groups),
    }
