"""How long a stage is measured on held-out prompts: how often, and what its engines take for it.

Only sets of which a spec says how many prompts they have at most (`max_prompts`) are counted: the others are as long as
their files.  Sets follow one another.  Where steps sample as well, engines are awake and have the weights; a stage that
trains on rows or on a recording wakes its engines for each evaluation and hands them the weights.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.data import EvalSet, Measurement
from compiler.ir.evaluated import sampled_sets
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.sides import rolls_out, trains
from compiler.planner.time.constants import RATES
from compiler.planner.time.experiment_facts import PROMPT_FRAC, sampler_of
from compiler.planner.time.handover import swap_seconds, sync_seconds
from compiler.planner.time.lengths import expected_lengths
from compiler.planner.time.step import Sampling, StepJob, sampling_seconds


class Evaluations(NamedTuple):
    """How often a stage is evaluated, and the seconds of each time."""

    count: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of all of them."""
        return self.count * self.seconds


def evaluations_of(experiment: Experiment[Any], stage: Stage[Any], job: StepJob) -> Evaluations:
    """Return what is predicted of the evaluations of a stage; nothing where no set says how many prompts it has."""
    sizes = [(one, one.max_prompts) for one in sampled_sets(stage.eval)]
    counted = [(one, prompts) for one, prompts in sizes if isinstance(prompts, int)]
    if not counted or isinstance(stage.rollout, Off) or isinstance(stage.eval, Off):
        return Evaluations()
    seconds = sum(_set_seconds(experiment, stage, job, one, prompts) for one, prompts in counted)
    if not rolls_out(stage) and trains(stage):
        trainer = job.trainer
        seconds += sync_seconds(trainer.job.network, trainer.job.layout, trainer.gpu, is_shared=job.is_shared)
        seconds += swap_seconds(job.swapped_bytes) if job.is_shared else 0.0
    return Evaluations(times_evaluated(stage.eval, stage.run.max_steps), seconds)


def times_evaluated(settings: Measurement, steps: int) -> int:
    """Return how often a stage of so many steps is evaluated: at its start, every so many steps, and at its end."""
    between = 0 if isinstance(settings.interval, Off) else (steps - 1) // settings.interval
    return settings.at_start + between + 1


def _set_seconds(
    experiment: Experiment[Any], stage: Stage[Any], job: StepJob, one: EvalSet[Any], prompts: int
) -> float:
    rollout, placement = stage.rollout, experiment.placement
    assert not isinstance(rollout, Off), "who is evaluated on prompts samples"
    assert isinstance(placement, GpuPlacement), "a step that is predicted is one of GPUs"
    mean = getattr(rollout, "expected_response_tokens", None)
    lengths = expected_lengths(one.max_response_tokens, float(mean) if isinstance(mean, int) else None)
    sampling = Sampling(
        sampler=sampler_of(experiment, stage, job.trainer),
        engines=placement.generating_engines(),
        samples=float(prompts * (one.samples_per_prompt + bool(one.greedy))),
        prompt=rollout.max_prompt_tokens * PROMPT_FRAC,
        lengths=lengths,
        group=one.samples_per_prompt + bool(one.greedy),
    )
    return sampling_seconds(sampling, RATES).batch
