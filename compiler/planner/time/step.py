"""The time of a step: its phases one after the other, or both sides at once where weights may be stale.

One call needs no experiment: a search asks it of thousands of layouts.  Training and sampling do not depend on one
another's layout, so `step_of` takes what was computed for each.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.time.constants import Rates
from compiler.planner.time.handover import swap_seconds, sync_seconds
from compiler.planner.time.lengths import Lengths
from compiler.planner.time.rollout import Sampler, prefill_seconds, rollout_seconds, steady_seconds
from compiler.planner.time.training import Trainer, scoring_seconds, train_seconds

Side = Literal["both", "train", "rollout"]
ROLLOUT, SWAP, LOGPROBS, TRAIN, SYNC = "rollout", "swap to host", "log-probs", "train", "weight sync"


class PhaseSeconds(NamedTuple):
    """A phase of a step: on which GPUs, and for how long."""

    name: str
    side: Side
    seconds: float


class Sampling(NamedTuple):
    """What the engines of a stage do in one step.

    Args:
        engines: that share the samples.
        samples: of one step, of all engines.
        prompt: mean length of a prompt, in tokens.
        group: samples of one prompt, which is read once for all of them.
        steps_ahead: of sampling over training.  With one, each step's samples are waited for; with more, engines go
            on to the next step's, and are as full as their slots or the samples of these steps.
        is_partial: whether what is unfinished when a step has its samples goes on in the next one.
    """

    sampler: Sampler
    engines: int
    samples: float
    prompt: float
    lengths: Lengths
    group: float = 1
    steps_ahead: float = 1
    is_partial: bool = False


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


def step_seconds(job: StepJob, rates: Rates) -> StepSeconds:
    """Return the phases of a step and their seconds."""
    trained, scored = training_seconds(job, rates)
    sampled = sampling_seconds(job.sampling, rates) if job.sampling is not None else 0.0
    return step_of(job, trained=trained, scored=scored, sampled=sampled)


def training_seconds(job: StepJob, rates: Rates) -> tuple[float, float]:
    """Return how long a step trains, and how long it takes log-probs before that."""
    trained = train_seconds(job.trainer, rates).total * job.optimizer_steps * job.trained_networks
    scored = 0.0
    if job.scoring_passes:
        scored = scoring_seconds(job.trainer, rates).total * job.optimizer_steps * job.scoring_passes
    if job.frozen is not None:
        scored += scoring_seconds(job.frozen, rates).total * job.optimizer_steps
    return trained, scored


def sampling_seconds(sampling: Sampling, rates: Rates) -> float:
    """Return how long the fullest engine takes to read prompts and to sample."""
    share = sampling.samples / max(1, sampling.engines)
    read = share * sampling.prompt / max(1.0, sampling.group)
    prompts = prefill_seconds(sampling.sampler, read, sampling.prompt, rates)
    if sampling.steps_ahead > 1 or sampling.is_partial:
        under_way = share * sampling.steps_ahead
        return prompts + steady_seconds(sampling.sampler, sampling.lengths, share, under_way, sampling.prompt, rates)
    return prompts + rollout_seconds(sampling.sampler, sampling.lengths, share, sampling.prompt, rates)


def step_of(job: StepJob, *, trained: float, scored: float, sampled: float) -> StepSeconds:
    """Return the phases of a step of which the seconds are known: of training, of all log-probs, of sampling."""
    trains: Side = "both" if job.is_shared else "train"
    samples: Side = "both" if job.is_shared else "rollout"
    found: list[PhaseSeconds] = []
    sampling, one = job.sampling if job.rolls_out else None, job.trainer
    if not job.trains:
        return StepSeconds((PhaseSeconds(ROLLOUT, samples, sampled),), False)
    if sampling is not None:
        found.append(PhaseSeconds(ROLLOUT, samples, sampled))
        if job.is_shared:
            found.append(PhaseSeconds(SWAP, "both", 2 * swap_seconds(job.swapped_bytes)))
    found.append(PhaseSeconds(LOGPROBS, trains, scored))
    found.append(PhaseSeconds(TRAIN, trains, trained))
    if sampling is not None:
        handed = sync_seconds(one.job.network, one.job.layout, one.gpu, is_shared=job.is_shared)
        found.append(PhaseSeconds(SYNC, "both", handed / max(1, job.sync_interval)))
    return StepSeconds(
        tuple(phase for phase in found if phase.seconds > 0), job.overlaps and not job.is_shared and job.rolls_out
    )
