"""What a resolved experiment says of the time of a stage: its step as a job, or nothing.

Lengths decide.  Prompts are half as long as they may be; responses are as the spec expects them, or else half of the
longest on average.  Of a stage that trains on data, only the data says how long samples are: a forecast is made where
the spec says what is expected of it, and so is the time of rewards and of environments counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from compiler.diagnostics.annotations import Any
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.catalogue import Gpu
from compiler.ir.data import PreferenceData, Samples
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import OFF, Off
from compiler.ir.options import settings_given
from compiler.ir.rollout import Generation, Rollout
from compiler.ir.sides import rolls_out, trains
from compiler.ir.training import PolicyTrain, Train
from compiler.planner.memory.activations import Tokens
from compiler.planner.memory.engine import EngineJob
from compiler.planner.memory.experiment_facts import engine_job, longest_sample, reader_job, stage_job
from compiler.planner.memory.lines import total
from compiler.planner.memory.network import network_of
from compiler.planner.memory.phases import StageJob
from compiler.planner.memory.static import static_lines
from compiler.planner.memory.training import Job
from compiler.planner.remembered import remembered
from compiler.planner.time.constants import DRAFT_ACCEPTED_FRAC, ROUTED_IMBALANCE
from compiler.planner.time.lengths import Lengths, classes_of, expected_lengths
from compiler.planner.time.packing import packed_micro_batches
from compiler.planner.time.rollout import Sampler, cached_bytes, drawn_tokens, sampler_bytes
from compiler.planner.time.speed import Format
from compiler.planner.time.step import Calls, Sampling, StepJob
from compiler.planner.time.training import Trainer
from compiler.planner.time.work import network_work

_ROUNDING = 1e-6
PROMPT_FRAC = 0.5  # of the longest prompt, where nothing says how long prompts are


@remembered
def step_job(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu) -> StepJob | None:
    """Return what decides the time of a step, or None where the machine or the length of samples is open."""
    held, rollout, placement = stage_job(experiment, stage, gpu), stage.rollout, experiment.placement
    if held is None or held.job.layout.dp < 1 or not isinstance(placement, GpuPlacement):
        return None
    train, params = stage.train, stage.algorithm
    if not isinstance(rollout, Rollout):
        return _step_on_rows(experiment, stage, gpu, held)
    assert isinstance(train, PolicyTrain), "a stage that samples trains on it"
    if not isinstance(train.steps_per_rollout, int):  # open where batches do not divide a rollout
        return None
    lengths, prompt = response_lengths(rollout), rollout.max_prompt_tokens * PROMPT_FRAC
    job = typical_job(held.job, train, lengths, prompt)
    trainer = trainer_of(experiment, stage, gpu, job)
    has_critic = isinstance(params, ActorCriticParams)
    return StepJob(
        trainer=trainer,
        optimizer_steps=train.steps_per_rollout * train.epochs_per_rollout,
        scoring_passes=held.has_reference + held.scores + has_critic,
        trained_networks=1 + has_critic,
        frozen=None if not isinstance(params, TaughtParams) else _teacher(trainer, params),
        sampling=_sampling(experiment, stage, trainer, lengths, prompt),
        is_shared=held.is_shared,
        swapped_bytes=_swapped_bytes(held, job),
        exchanged_bytes=_exchanged_bytes(held, job),
        overlaps=stage.schedule.lag > 0,
        rolls_out=rolls_out(stage),
        trains=trains(stage),
    )


def _step_on_rows(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu, held: StageJob) -> StepJob | None:
    """The step of a stage that trains on data, where somebody says how long its samples are."""
    data, params = stage.data, stage.algorithm
    mean = data.expected_sample_tokens if isinstance(data, Samples) else OFF
    if isinstance(mean, Off):
        return None
    each = 2 if isinstance(data, PreferenceData) else 1  # sequences of a sample
    lengths = expected_lengths(each * longest_sample(experiment, stage), float(mean))
    job = typical_job(held.job, stage.train, lengths, 0.0)
    job = job._replace(tokens=job.tokens._replace(pairs=job.tokens.pairs / each))
    trainer = trainer_of(experiment, stage, gpu, job)
    return StepJob(
        trainer=trainer,
        scoring_passes=held.has_reference,
        exchanged_bytes=_exchanged_bytes(held, job),
        frozen=None if not isinstance(params, TaughtParams) else _teacher(trainer, params),
        is_shared=held.is_shared,
        swapped_bytes=_swapped_bytes(held, job),
    )


def resized_sampler(sampler: Sampler, engine: EngineJob) -> Sampler:
    """Return an engine of as many GPUs as another one, with what its cache then holds."""
    made = sampler._replace(gpus=engine.gpus, copies_attention=engine.copies_attention)
    room = engine.gpus * max(0.0, engine.pool_bytes - sampler_bytes(made))
    return made._replace(capacity_tokens=room / max(1.0, cached_bytes(made)))


def relaid_step(step: StepJob, held: StageJob, job: Job) -> StepJob:
    """Return the step of a stage with other axes, or sides.

    Args:
        held: what decides the stage's memory with them.
        job: the same as held's, with sequences of the expected lengths.
    """
    imbalance = ROUTED_IMBALANCE if job.layout.ep > 1 else 1.0
    frozen = step.frozen
    if frozen is not None:
        frozen = frozen._replace(job=job._replace(network=frozen.job.network), imbalance=imbalance)
    return step._replace(
        trainer=step.trainer._replace(job=job, imbalance=imbalance),
        frozen=frozen,
        is_shared=held.is_shared,
        swapped_bytes=_swapped_bytes(held, job),
        exchanged_bytes=_exchanged_bytes(held, job),
    )


def _swapped_bytes(held: StageJob, job: Job) -> float:
    """What a training GPU moves to the host before sampling, and back: all but gradients, of which nothing is left."""
    kept = job.storage._replace(gradient=0)
    return total(static_lines(job.network, job.layout, kept, 0)) if held.is_shared else 0.0


def _exchanged_bytes(held: StageJob, job: Job) -> float:
    lines = static_lines(job.network, job.layout, job.storage, 0) if held.has_reference else ()
    return sum(line.bytes for line in lines if line.name == "weights")


def response_lengths(rollout: Rollout[Any]) -> Lengths:
    """Return how long responses are, as far as the spec expects something."""
    mean, p90 = rollout.expected_response_tokens, rollout.expected_p90_response_tokens
    return expected_lengths(
        rollout.max_response_tokens,
        None if isinstance(mean, Off) else float(mean),
        None if isinstance(p90, Off) else float(p90),
    )


def typical_job(job: Job, train: Train[Any], lengths: Lengths, prompt: float, *, budget: float | None = None) -> Job:
    """Return a job with sequences of the expected lengths: those of the memory model are the longest.

    Args:
        budget: tokens of a micro-batch, where it is not what the stage says itself.
    """
    batch, dp = train.global_batch, job.layout.dp
    classes = classes_of(lengths, batch)
    mean = sum(one.share * (prompt + one.tokens) for one in classes)
    square = sum(one.share * (prompt + one.tokens) ** 2 for one in classes)
    samples = max(1.0, batch / dp)
    if budget is None and isinstance(train.packing.tokens, int):
        budget = float(train.packing.tokens)
    if budget is None:
        assert isinstance(train.micro_batch, int), "micro-batches are cut by tokens or by samples"
        micro_batches = max(1, ceil(samples / train.micro_batch))
    else:
        micro_batches = max(1, ceil(packed_micro_batches(lengths, batch, prompt, budget) / dp - _ROUNDING))
    tokens = samples * mean / micro_batches  # packed evenly, so that none is almost empty
    return job._replace(tokens=Tokens(count=tokens, pairs=tokens * square / mean), micro_batches=micro_batches)


def trainer_of(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu, job: Job) -> Trainer:
    """Return what decides the time of training on a micro-batch."""
    given = settings_given(stage.train.engine, "megatron")
    number: Format = "fp8" if "fp8" in given else "bf16" if stage.train.precision == "bf16" else "fp32"
    return Trainer(
        job=job,
        work=network_work(job.network),
        gpu=gpu,
        number=number,
        imbalance=ROUTED_IMBALANCE if job.layout.ep > 1 else 1.0,
        hides_exchanges=given.get("overlap_moe_expert_parallel_comm") is True,
        sends_once=given.get("moe_token_dispatcher_type") == "flex" or given.get("moe_enable_deepep") is True,
    )


def _teacher(trainer: Trainer, params: TaughtParams[Any]) -> Trainer:
    network = network_of(params.teacher)._replace(mtp_layers=0)
    return trainer._replace(job=trainer.job._replace(network=network), work=network_work(network))


def _sampling(
    experiment: Experiment[Any], stage: Stage[Any], trainer: Trainer, lengths: Lengths, prompt: float
) -> Sampling:
    rollout, placement = stage.rollout, experiment.placement
    assert isinstance(rollout, Rollout)
    assert isinstance(placement, GpuPlacement)
    asked = 1.0 if isinstance(rollout.filter, Off) else rollout.filter.oversample
    is_partial = not isinstance(rollout.buffer, Off) and rollout.buffer.partial
    spare = 1.0 if isinstance(rollout.buffer, Off) else rollout.buffer.oversample
    sampler, reading = sampler_of(experiment, stage, trainer), reader_job(experiment, stage, trainer.gpu)
    return Sampling(
        sampler=sampler,
        engines=placement.generating_engines(),
        samples=rollout.prompts_per_step * rollout.samples_per_prompt * asked,
        prompt=prompt,
        lengths=lengths,
        group=rollout.samples_per_prompt,
        lag=stage.schedule.lag if stage.schedule.mode == "async" else 0,
        steps_ahead=spare if is_partial else 1,
        is_partial=is_partial,
        calls=tuple(_calls(stage, rollout)),
        reader=None if reading is None else resized_sampler(sampler, reading),
        readers=placement.engine_groups()[0].engines if reading is not None else 1,
    )


def _calls(stage: Stage[Any], rollout: Rollout[Any]) -> Iterator[Calls]:
    """What environments and rewards take, as far as the spec says."""
    environment, reward = stage.environment, stage.reward
    samples = rollout.prompts_per_step * rollout.samples_per_prompt
    if not isinstance(environment, Off) and not isinstance(environment.expected_turn_s, Off):
        turns = environment.expected_turns
        gaps = max(0.0, (environment.max_turns / 2 if isinstance(turns, Off) else turns) - 1)
        yield Calls("environment", samples * gaps, environment.concurrency, environment.expected_turn_s, gaps)
    if not isinstance(reward, Off) and not isinstance(reward.expected_call_s, Off):
        count = {"sample": samples, "group": rollout.prompts_per_step}.get(str(reward.level), 1)
        yield Calls("rewards", count, reward.concurrency, reward.expected_call_s)


def sampler_of(experiment: Experiment[Any], stage: Stage[Any], trainer: Trainer) -> Sampler:
    """Return the engine of a stage that has one; its layers are those that are trained."""
    engine, rollout = engine_job(experiment, stage, trainer.gpu), stage.rollout
    assert not isinstance(rollout, Off), "who samples nothing has no engine"
    network, drafts = network_of(experiment.model)._replace(mtp_layers=0), _drafts(rollout)
    made = Sampler(
        network=network,
        work=trainer.work,
        gpu=trainer.gpu,
        gpus=engine.gpus,
        capacity_tokens=0,
        concurrency=rollout.concurrency,
        weight_bytes=engine.weights.bytes,
        cache_bytes=engine.cache_bytes,
        number=engine.weights.number(trainer.gpu),
        copies_attention=engine.copies_attention,
        drafts=drafts,
        drawn=drawn_tokens(drafts, DRAFT_ACCEPTED_FRAC),
    )
    return resized_sampler(made, engine)


def _drafts(rollout: Generation[Any]) -> int:
    """Tokens that the engine is told to draft for each sequence and step, by its own name for them."""
    given = settings_given(rollout.engine)
    steps = given.get("speculative_num_steps") if "speculative_algorithm" in given else None
    _, _, told = str(given.get("speculative_config", "")).partition('"num_speculative_tokens":')
    count = told.strip().partition(",")[0].strip(" }")
    return steps if isinstance(steps, int) else int(count) if count.isdecimal() else 0
