"""How fast a stage of a plan goes, as the planner predicts it, in the form that a simulation takes.

A decode step is taken at the context that sequences have on average while they run; what a simulation adds to the
prediction is who waits for whom.
"""

from __future__ import annotations

from math import ceil

from compiler.diagnostics.annotations import Never
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.timeouts import Timeouts
from compiler.planner.simulate.draws import length_table
from compiler.planner.simulate.pace import Fleet, Judging, Limits, Pace, Training, Turns
from compiler.planner.simulate.pipeline import Pipeline
from compiler.planner.time.constants import RATES
from compiler.planner.time.experiment_facts import step_job
from compiler.planner.time.lengths import classes_of
from compiler.planner.time.rollout import decode_costs, prefill_seconds, slots_of
from compiler.planner.time.step import Sampling, StepJob
from compiler.planner.waits import predicted_waits

_MOST_MICRO_BATCHES = 256  # of a pipeline that are followed pass by pass: more change the bubble no more


class Beside(NamedTuple):
    """What a plan says at most as an expectation; None is what it expects, or nothing.

    Args:
        judge_s: mean seconds of one call of the reward.
        left_out_frac: groups that the filter leaves out.
        turns: mean turns of an episode.
        turn_s: mean seconds that an environment takes between two turns.
    """

    judge_s: float | None = None
    left_out_frac: float = 0.0
    turns: float | None = None
    turn_s: float | None = None


def expected(stage: Stage[Never], beside: Beside) -> Beside:
    """Return what is assumed of a stage, all of it said: by whoever asks, else by the spec, else that it takes no time.

    Episodes of which nothing is expected have half of the turns that they may have, as in the forecast of a step.
    """
    reward, environment = stage.reward, stage.environment
    judge_s, turns, turn_s = beside.judge_s, beside.turns, beside.turn_s
    if judge_s is None:
        judge_s = 0.0 if isinstance(reward, Off) or isinstance(reward.expected_call_s, Off) else reward.expected_call_s
    if isinstance(environment, Off):
        return beside._replace(judge_s=judge_s, turns=1.0, turn_s=0.0)
    if turns is None:
        said = environment.expected_turns
        turns = max(1.0, environment.max_turns / 2) if isinstance(said, Off) else float(said)
    if turn_s is None:
        turn_s = 0.0 if isinstance(environment.expected_turn_s, Off) else environment.expected_turn_s
    return beside._replace(judge_s=judge_s, turns=turns, turn_s=turn_s)


def pace_of(experiment: Experiment[Never], stage: Stage[Never], gpu: Gpu, beside: Beside) -> Pace | None:
    """Return the pace of a stage, or None where nothing is sampled, or not on GPUs."""
    job, rollout, placement = step_job(experiment, stage, gpu), stage.rollout, experiment.placement
    if job is None or job.sampling is None or not isinstance(rollout, Rollout):
        return None
    assert isinstance(placement, GpuPlacement), "a step that is predicted is one of GPUs"
    lengths, waits = job.sampling.lengths, predicted_waits(experiment, stage, gpu)
    if waits.train_step is None or waits.weight_sync is None:
        return None
    gpus_per_node = experiment.cluster.num_gpus // experiment.cluster.nodes
    nodes = ceil(placement.train_gpus / gpus_per_node)
    interval = stage.checkpoint.interval
    calls = rollout.samples_per_prompt if isinstance(stage.reward, Off) or stage.reward.level == "sample" else 1
    servers = 1 if isinstance(stage.reward, Off) else max(1, stage.reward.concurrency // calls)
    beside, groups = expected(stage, beside), placement.engine_groups()
    return Pace(
        fleet=_fleet(job.sampling),
        training=Training(
            gpus=placement.train_gpus,
            nodes=nodes,
            seconds=waits.train_step,
            pipeline=_pipeline(job),
            sync_s=waits.weight_sync,
            checkpoint_s=waits.checkpoint,
            checkpoint_interval=0 if isinstance(interval, Off) else interval,
        ),
        lengths=length_table(lengths.mean, lengths.longest, lengths.spread),
        samples_per_group=rollout.samples_per_prompt,
        judging=Judging(servers, calls, beside.judge_s or 0.0),
        is_shared=job.is_shared,
        left_out_frac=beside.left_out_frac,
        turns=_turns(stage, rollout.samples_per_prompt, beside),
        prefill_gpus=sum(group.engines * group.gpus for group in groups if group.role == "prefill"),
        judge_gpus=placement.judge_gpus(),
    )


def _turns(stage: Stage[Never], episodes: int, beside: Beside) -> Turns:
    if isinstance(stage.environment, Off):
        return Turns()
    servers = max(1, stage.environment.concurrency // episodes)
    return Turns(servers, episodes, max(0.0, (beside.turns or 1.0) - 1), beside.turn_s or 0.0)


def limits_of(timeouts: Timeouts[Never]) -> Limits:
    """Return the time limits of a plan."""
    return Limits(
        generation_s=timeouts.generation_s,
        train_step_s=timeouts.train_step_s,
        weight_sync_s=timeouts.weight_sync_s,
        checkpoint_s=timeouts.checkpoint_s,
        restart_s=timeouts.placement_s + timeouts.weight_load_s,
    )


def _fleet(sampling: Sampling) -> Fleet:
    sampler, reader, prompt = sampling.sampler, sampling.reader, sampling.prompt
    classes = classes_of(sampling.lengths, sampling.samples)
    mean = sum(one.share * one.tokens for one in classes)
    # A response is met at any time in proportion to its length, and on average at its half.
    context = prompt + sum(one.share * one.tokens**2 for one in classes) / (2 * mean)
    places = int(slots_of(sampler, context))
    costs = decode_costs(sampler, RATES)
    return Fleet(
        engines=sampling.engines,
        gpus_per_engine=sampler.gpus,
        places=places,
        step_s=tuple(costs.seconds(n, n * context) / sampler.drawn for n in range(places + 1)),
        prefill_s=prefill_seconds(sampler, prompt, prompt, RATES) if reader is None else 0.0,
        readers=0 if reader is None else sampling.readers,
        read_s=0.0 if reader is None else prefill_seconds(reader, prompt, prompt, RATES),
    )


def _pipeline(job: StepJob) -> Pipeline | None:
    layout, micro_batches = job.trainer.job.layout, job.trainer.job.micro_batches
    if layout.pp == 1:
        return None
    count = min(_MOST_MICRO_BATCHES, micro_batches)
    groups = layout.vpp if count % layout.pp == 0 else 1
    return Pipeline(layout.pp, count, groups)
