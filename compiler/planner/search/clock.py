"""The planner's own clock, asked of layouts: what a candidate's sides take, by the model of time that plans show.

A stage that trains on data says nothing of lengths; its rows are taken to be as long as they may be, for all candidates
alike.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.rollout import Rollout
from compiler.ir.training import PolicyTrain
from compiler.planner.memory.phases import StageJob
from compiler.planner.time.constants import RATES
from compiler.planner.time.experiment_facts import (
    PROMPT_FRAC,
    relaid_step,
    resized_sampler,
    response_lengths,
    step_job,
    trainer_of,
    typical_job,
)
from compiler.planner.time.overlap import Sampled
from compiler.planner.time.speed import product_rate
from compiler.planner.time.step import (
    BATCH,
    LOGPROBS,
    TRAIN,
    StepJob,
    sampling_seconds,
    step_of,
    training_seconds,
    waits_of,
)
from compiler.planner.time.training import train_flops, train_seconds


class SideSeconds(NamedTuple):
    """Seconds of a step that the training side takes, and those for which both sides stop: offload and weight sync."""

    train_s: float
    both_s: float


def stage_step(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu, held: StageJob) -> StepJob:
    """Return what decides the time of a stage's step as the experiment stands."""
    found = step_job(experiment, stage, gpu)
    if found is not None:
        return found
    passes = float(held.has_reference)
    return StepJob(
        trainer=trainer_of(experiment, stage, gpu, held.job), scoring_passes=passes, is_shared=held.is_shared
    )


def side_seconds(step: StepJob, stage: Stage[Any], held: StageJob, budget: float | None) -> SideSeconds:
    """Return what training takes with other axes.

    Args:
        step: of the stage as it stands.
        held: what decides the stage's memory with the other axes.
        budget: tokens of a micro-batch, None where they are samples.
    """
    moved = _moved(step, stage, held, budget)
    trained, scored = training_seconds(moved, RATES)
    return _sides(moved, trained, scored)


def least_side_seconds(step: StepJob, stage: Stage[Any], held: StageJob, budget: float | None) -> SideSeconds:
    """Return what training takes at least with other axes, whatever the size of a micro-batch and of groups of layers.

    Of the largest micro-batch and the most groups it is what grows with tokens alone: no waiting in a pipeline or for
    other copies, no time to start kernels, no log-probs.
    """
    moved = _moved(step, stage, held, budget)
    one = train_seconds(moved.trainer, RATES)
    computed = one.total - one.pipeline - one.data_parallel - one.launches
    return _sides(moved, computed * moved.optimizer_steps * moved.trained_networks, 0.0)


def _moved(step: StepJob, stage: Stage[Any], held: StageJob, budget: float | None) -> StepJob:
    job, rollout, train = held.job, stage.rollout, stage.train
    if isinstance(rollout, Rollout) and isinstance(train, PolicyTrain):
        prompt = rollout.max_prompt_tokens * PROMPT_FRAC
        job = typical_job(job, train, response_lengths(rollout), prompt, budget=budget)
    return relaid_step(step, held, job)


def _sides(moved: StepJob, trained: float, scored: float) -> SideSeconds:
    phases = step_of(moved, trained=trained, scored=scored, sampled=Sampled(0.0, 0.0)).phases
    own = sum(phase.seconds for phase in phases if phase.name in (TRAIN, LOGPROBS, BATCH))
    return SideSeconds(own, sum(phase.seconds for phase in phases) - own)


NOT_WAITED = SideSeconds(0.0, 0.0)


def rollout_seconds(step: StepJob, held: StageJob, engines: int, beside: SideSeconds = NOT_WAITED) -> float:
    """Return what sampling takes with so many engines of another size.

    Args:
        beside: of training and of the handover, which samples wait for that may be behind by so many versions only;
            without it, what sampling takes at least.
    """
    if step.sampling is None or held.engine is None:
        return 0.0
    sampling = step.sampling._replace(
        sampler=resized_sampler(step.sampling.sampler, held.engine),
        engines=engines,
        reader=None if held.reader is None else resized_sampler(step.sampling.sampler, held.reader),
    )
    found = sampling_seconds(sampling, RATES)
    waited = sum(seconds for _, seconds in waits_of(step.sampling, found))
    return found.seconds(beside.train_s, beside.both_s) + waited


def least_seconds(step: StepJob, gpus: int) -> float:
    """Return what training takes at least on so many GPUs: its products at the clock's rate, nothing waited for."""
    job = step.trainer.job
    flops = train_flops(step.trainer) * job.micro_batches * job.layout.dp * step.optimizer_steps
    return flops / (gpus * product_rate(step.trainer.gpu, step.trainer.number, RATES))
