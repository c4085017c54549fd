"""The time of a step: its phases one after the other, or both sides at once where weights may be stale.

One call needs no experiment: a search asks it of thousands of layouts.  Training and sampling do not depend on one
another's layout, so `step_of` takes what was computed for each.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.time.constants import SAMPLE_MS, Rates
from compiler.planner.time.handover import exchange_weights_seconds, swap_seconds, sync_seconds
from compiler.planner.time.lengths import Lengths, classes_of, expected_maximum, variation_of
from compiler.planner.time.overlap import Decoding, Sampled, overlapped
from compiler.planner.time.rollout import (
    Sampler,
    age_of,
    decode_costs,
    prefill_seconds,
    rollout_seconds,
    slots_of,
    steady_seconds,
)
from compiler.planner.time.training import Trainer, scoring_seconds, train_seconds

Side = Literal["both", "train", "rollout"]
ROLLOUT, SWAP, BATCH, LOGPROBS = "rollout", "swap to host", "make batch", "log-probs"
TRAIN, SYNC = "train", "weight sync"


class PhaseSeconds(NamedTuple):
    """A phase of a step: on which GPUs, and for how long."""

    name: str
    side: Side
    seconds: float


class Calls(NamedTuple):
    """What a rollout waits for that no engine does: a reward, or what an environment says between two turns.

    Args:
        name: of the phase.
        count: calls of one step.
        servers: calls that may be under way at once.
        seconds: of one call.
        in_turn: calls of one response, one after the other.
    """

    name: str
    count: float
    servers: float
    seconds: float
    in_turn: float = 1

    def waited(self, beside: float) -> float:
        """Return the seconds that a step waits beside sampling: for those of the last response, and for a queue.

        Args:
            beside: seconds in which responses come one by one.
        """
        return self.in_turn * self.seconds + max(0.0, self.count * self.seconds / max(1.0, self.servers) - beside)


class Sampling(NamedTuple):
    """What the engines of a stage do in one step.

    Args:
        engines: that share the samples.
        samples: of one step, of all engines.
        prompt: mean length of a prompt, in tokens.
        group: samples of one prompt, which is read once for all of them.
        lag: versions by which samples may be behind where groups begin one by one; 0 where whole batches do.
        steps_ahead: where a rollout is partial, the samples that are under way over those of a step.
        calls: of rewards and of an environment, as far as somebody says how long one takes.
        is_partial: whether what is unfinished when a step has its samples goes on in the next one.
        reader: an engine that reads prompts for those that generate, where there are two kinds; else these do.
        readers: of them.
    """

    sampler: Sampler
    engines: int
    samples: float
    prompt: float
    lengths: Lengths
    group: float = 1
    lag: int = 0
    steps_ahead: float = 1
    is_partial: bool = False
    calls: tuple[Calls, ...] = ()
    reader: Sampler | None = None
    readers: int = 1


class StepJob(NamedTuple):
    """All that decides the time of a step.

    Args:
        optimizer_steps: of one step of the stage.
        scoring_passes: passes for log-probs before training: old, reference, critic, teacher.
        trained_networks: networks that are trained on the same samples: the policy, and a critic.
        frozen: a teacher of a shape of its own, whose log-probs are taken too.
        sampling: None where nothing is sampled.
        is_shared: whether both sides have the same GPUs.
        swapped_bytes: of one GPU that are moved to the host and back where both sides share it.
        exchanged_bytes: of one GPU's weights that a reference takes the place of for its pass.
        overlaps: whether the next step is sampled while this one is trained on.
        sync_interval: steps from one handover of the weights to the next.
        rolls_out: whether a step samples; on a recording it trains alone.
        trains: whether a step trains; otherwise it samples alone, with weights that stay as they are.
    """

    trainer: Trainer
    optimizer_steps: float = 1
    scoring_passes: float = 0
    trained_networks: float = 1
    frozen: Trainer | None = None
    sampling: Sampling | None = None
    is_shared: bool = True
    swapped_bytes: float = 0.0
    exchanged_bytes: float = 0.0
    overlaps: bool = False
    sync_interval: int = 1
    rolls_out: bool = True
    trains: bool = True


class StepSeconds(NamedTuple):
    """The phases of a step in their order, and the time from one step to the next."""

    phases: tuple[PhaseSeconds, ...]
    overlaps: bool

    @property
    def total(self) -> float:
        """Seconds of a step: the longer side where both work at once, and what is done together."""
        if not self.overlaps:
            return sum(phase.seconds for phase in self.phases)
        sides = [sum(one.seconds for one in self.phases if one.side == side) for side in ("train", "rollout")]
        return max(sides) + sum(one.seconds for one in self.phases if one.side == "both")

    def of(self, name: str) -> float:
        """Return the seconds of a phase, 0 where there is none."""
        return sum(phase.seconds for phase in self.phases if phase.name == name)


@lru_cache(maxsize=64)  # its limits and its forecast ask the same of a stage, and so does every plan of a sweep
def step_seconds(job: StepJob, rates: Rates) -> StepSeconds:
    """Return the phases of a step and their seconds."""
    trained, scored = training_seconds(job, rates)
    sampled = Sampled(0.0, 0.0) if job.sampling is None else sampling_seconds(job.sampling, rates)
    return step_of(job, trained=trained, scored=scored, sampled=sampled)


def training_seconds(job: StepJob, rates: Rates) -> tuple[float, float]:
    """Return how long a step trains, and how long it takes log-probs before that."""
    trained = train_seconds(job.trainer, rates).total * job.optimizer_steps * job.trained_networks
    scored = 0.0
    if job.scoring_passes:
        scored = scoring_seconds(job.trainer, rates).total * job.optimizer_steps * job.scoring_passes
    if job.exchanged_bytes:
        scored += exchange_weights_seconds(job.exchanged_bytes)
    if job.frozen is not None:
        scored += scoring_seconds(job.frozen, rates).total * job.optimizer_steps
    return trained, scored


@lru_cache(maxsize=64)
def sampling_seconds(sampling: Sampling, rates: Rates) -> Sampled:
    """Return how long an engine takes to read prompts and to sample, and until the longest response of all is done.

    Engines that read prompts for others do so meanwhile: sampling takes as long as the slower kind, beside the first
    prompt, or the last response.  What is cached of a prompt is sent while it is read, and no time is counted for it.
    """
    sampler, prompt, group = sampling.sampler, sampling.prompt, max(1.0, sampling.group)
    if sampling.reader is None:
        share = sampling.samples / max(1, sampling.engines)
        return _decoded(sampling, prefill_seconds(sampler, share * prompt / group, prompt, rates), rates)
    found = _decoded(sampling, 0.0, rates)
    share = sampling.samples / max(1, sampling.readers)
    first = prefill_seconds(sampling.reader, prompt, prompt, rates)
    prompts = max(first, prefill_seconds(sampling.reader, share * prompt / group, prompt, rates))
    mean = sampling.lengths.mean
    response = mean * decode_costs(sampler, rates).seconds(1, prompt + mean / 2) / sampler.drawn
    return found._replace(busy=max(found.busy, prompts), batch=max(first + found.batch, prompts + response))


def _decoded(sampling: Sampling, prompts: float, rates: Rates) -> Sampled:
    """What sampling takes beside so many seconds in which engines that generate read prompts."""
    sampler, lengths, prompt = sampling.sampler, sampling.lengths, sampling.prompt
    share = sampling.samples / max(1, sampling.engines)
    every = classes_of(lengths, sampling.samples)
    if sampling.lag:
        costs, context = decode_costs(sampler, rates), prompt + age_of(every)
        alone, both = (costs.seconds(count, count * context) / sampler.drawn for count in (share, 2 * share))
        each = (both - alone) / share
        decoding = Decoding(alone - each * share, each, sampler.concurrency, slots_of(sampler, context))
        found = overlapped(decoding, every, share=share, group=sampling.group, lag=sampling.lag)
        return found._replace(busy=found.busy + prompts, batch=found.batch + prompts)
    if sampling.is_partial:
        under_way = share * sampling.steps_ahead
        seconds = prompts + steady_seconds(sampler, lengths, share, under_way, prompt, rates)
        return Sampled(seconds, seconds)
    # The busiest engine has more tokens than the others: as many as chance gives to the largest of so many sums.
    more = variation_of(every) * expected_maximum(sampling.engines) / sqrt(max(1.0, share))
    seconds = prompts + rollout_seconds(sampler, lengths, share * (1 + more), prompt, rates)
    # The longest response of all is on one engine, which all others wait for.
    longest, own = every[-1].tokens, classes_of(lengths, share)[-1].tokens
    tail = max(0.0, longest - own) * decode_costs(sampler, rates).seconds(1, prompt + longest) / sampler.drawn
    return Sampled(seconds, seconds + tail)


def step_of(job: StepJob, *, trained: float, scored: float, sampled: Sampled) -> StepSeconds:
    """Return the phases of a step of which the seconds are known: of training, of all log-probs, of sampling."""
    trains: Side = "both" if job.is_shared else "train"
    samples: Side = "both" if job.is_shared else "rollout"
    found: list[PhaseSeconds] = []
    sampling, one = job.sampling if job.rolls_out else None, job.trainer
    made = handed = 0.0
    if not job.trains:
        return StepSeconds(
            (PhaseSeconds(ROLLOUT, samples, sampled.seconds()), *_phases(sampling, samples, sampled)), False
        )
    if sampling is not None:
        made = sampling.samples * SAMPLE_MS * 1e-3
        handed = sync_seconds(one.job.network, one.job.layout, one.gpu, is_shared=job.is_shared)
        handed /= max(1, job.sync_interval)
        found.append(PhaseSeconds(ROLLOUT, samples, sampled.seconds(made + scored + trained, handed)))
        found.extend(_phases(sampling, samples, sampled))
        if job.is_shared:
            found.append(PhaseSeconds(SWAP, "both", swap_seconds(job.swapped_bytes)))
        found.append(PhaseSeconds(BATCH, trains, made))
    found.append(PhaseSeconds(LOGPROBS, trains, scored))
    found.append(PhaseSeconds(TRAIN, trains, trained))
    if sampling is not None:
        found.append(PhaseSeconds(SYNC, "both", handed))
    overlaps = job.overlaps and job.rolls_out and not job.is_shared
    return StepSeconds(tuple(phase for phase in found if phase.seconds > 0), overlaps)


def waits_of(sampling: Sampling, sampled: Sampled) -> tuple[tuple[str, float], ...]:
    """Return what sampling waits for beside decoding, by name; of groups that begin one by one, only for a queue."""
    alone = sampled.seconds()
    return tuple(
        (one.name, one.waited(alone) - (one.in_turn * one.seconds if sampling.lag else 0.0)) for one in sampling.calls
    )


def _phases(sampling: Sampling | None, side: Side, sampled: Sampled) -> tuple[PhaseSeconds, ...]:
    waited = () if sampling is None else waits_of(sampling, sampled)
    return tuple(PhaseSeconds(name, side, seconds) for name, seconds in waited)
