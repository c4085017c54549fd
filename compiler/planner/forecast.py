"""Bytes and parameters that can be counted exactly: weights, gradients, optimizer state, keys and values.

Where everything runs in one process they are those of the process, in fp32; on a target with GPUs those of one GPU that
trains, and of one that generates.  Activations and the working memory of kernels are not in it, nor is the one row that
a critic or a reward model has for a head.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.annotations import Any, Never
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage, holds_further_layers
from compiler.ir.loss import ScoreLoss
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.options import settings_given
from compiler.ir.plan import Forecast, StageForecast, StageTime
from compiler.ir.rollout import Rollout
from compiler.ir.sides import has_engine, trains
from compiler.ir.training import Fsdp2, Optim, Train
from compiler.planner.memory.kv_cache import FP32_BYTES, kv_bytes_per_token
from compiler.planner.parameters import parameters_of, prediction_parameters
from compiler.planner.ranks import (
    RankBytes,
    Spread,
    engine_formats,
    engine_sequence_bytes,
    engine_weight_bytes,
    rank_bytes,
)

_ALONE = Spread(1, 1, 1, 1, 1, 1)


def forecast(experiment: Experiment[Never], hardware: Callable[[], dict[str, Gpu]]) -> Forecast:
    """Return what a run needs at least, and on GPUs that are known how long it takes.

    Args:
        hardware: loads the GPUs that are known; it is asked only where the target has some.
    """
    model, stages = experiment.model, experiment.stages
    parameters = parameters_of(model)
    held = [_held(experiment, stage) for stage in stages]
    trained = [_with_prediction(one, experiment, stage) for one, stage in zip(held, stages, strict=True)]
    samples = any(has_engine(stage) for stage in stages)
    return Forecast(
        parameters=parameters.total,
        active_parameters=parameters.active,
        weight_bytes=max(one.weights for one in trained),
        gradient_bytes=max(one.gradients for one in trained),
        optimizer_bytes=max(one.optimizer for one in trained),
        reference_bytes=max((h.weights for h, s in zip(held, stages, strict=True) if _measures(s)), default=0),
        critic_bytes=max((_critic_bytes(experiment, stage) for stage in stages if has_critic(stage)), default=0),
        teacher_bytes=max((_taught(experiment, stage) for stage in stages), default=0),
        engine_weight_bytes=_engine_bytes(experiment) if samples else 0,
        stages=tuple(
            StageForecast(
                stage=stage.name,
                kv_cache_bytes=_kv_cache_bytes(experiment, stage),
                max_sampled_tokens=stage.budget.max_sampled_tokens,
                time=_time(experiment, stage, hardware),
            )
            for stage in stages
        ),
    )


def _time(
    experiment: Experiment[Never], stage: Stage[Never], hardware: Callable[[], dict[str, Gpu]]
) -> StageTime | Off:
    is_known = isinstance(stage.rollout, Rollout) or not isinstance(
        getattr(stage.data, "expected_sample_tokens", OFF), Off
    )
    if not isinstance(experiment.placement, GpuPlacement) or not is_known:
        return OFF
    from compiler.planner.time.stage_forecast import stage_time

    gpu = hardware().get(str(experiment.cluster.gpu))
    return OFF if gpu is None else stage_time(experiment, stage, gpu)


def moments_of(optim: Optim[object]) -> int:
    """Return how many numbers the update rule keeps of each parameter."""
    return 2 if optim.name == "adamw" else int(optim.momentum > 0)


def has_critic(stage: Stage[Any]) -> bool:
    """Whether a stage trains a second network of the model's shape."""
    return isinstance(stage.algorithm, ActorCriticParams) and trains(stage)


def teacher_bytes(stage: Stage[Any], spread: Spread, *, is_bf16: bool) -> int:
    """Return the bytes of the teacher's weights on one training GPU, which no optimizer keeps; 0 without a teacher."""
    params = stage.algorithm
    if not isinstance(params, TaughtParams) or not trains(stage):
        return 0
    fsdp2 = stage.train.engine.fsdp2
    if not isinstance(fsdp2, Fsdp2):
        return rank_bytes(params.teacher, spread, is_bf16=is_bf16, moments=0, is_sharded=False).weights
    return _sharded_bytes(params.teacher, spread, fsdp2, moments=0).weights


def trains_scores(stage: Stage[Any]) -> bool:
    """Whether a stage trains a reward model, which has no head over the vocabulary and computes no logits."""
    return isinstance(stage.algorithm.loss, ScoreLoss)


def trained_bytes(
    model: Model[object], spread: Spread, train: Train[object], optim: Optim[object], *, is_bf16: bool
) -> RankBytes:
    """Return the static bytes of a training GPU; optimizer state that its engine keeps on the host is not among them.

    Where the engine is not told how much of it, that is all.
    """
    engine, moments = train.engine, moments_of(optim)
    if isinstance(engine.fsdp2, Fsdp2):
        return _sharded_bytes(model, spread, engine.fsdp2, moments=moments)
    held = rank_bytes(model, spread, is_bf16=is_bf16, moments=moments, is_sharded=False)
    given = settings_given(engine, "megatron")
    if given.get("optimizer_cpu_offload") is not True:
        return held
    share = given.get("optimizer_offload_fraction")
    kept = 1.0 - (min(max(float(share), 0.0), 1.0) if isinstance(share, int | float) else 1.0)
    return held._replace(optimizer=int(held.optimizer * kept))


def _sharded_bytes(model: Model[object], spread: Spread, fsdp2: Fsdp2, *, moments: int) -> RankBytes:
    """Static bytes of a GPU in a group that shares everything; nothing of it where all of it lies on the host."""
    if fsdp2.cpu_offload:
        return RankBytes(0, 0, 0)
    group = spread._replace(dp=max(1, spread.dp // fsdp2.dp_replicate_size))
    return rank_bytes(model, group, is_bf16=False, moments=moments, is_sharded=True)


def stage_bytes(model: Model[Any], stage: Stage[Any], spread: Spread, *, precision: str = "") -> RankBytes:
    """Return what one training GPU holds for the whole of a stage, its critic and teacher included."""
    train, optim = stage.train, stage.optim
    is_bf16 = (precision or train.precision) == "bf16"
    if trains_scores(stage):
        return trained_bytes(without_head(model), spread, train, optim, is_bf16=is_bf16)
    held = trained_bytes(model, spread, train, optim, is_bf16=is_bf16)
    if not trains(stage):
        return RankBytes(held.weights, 0, 0)
    if has_critic(stage):
        critic = trained_bytes(without_head(model), spread, train, optim, is_bf16=is_bf16)
        held = RankBytes(*(own + other for own, other in zip(held, critic, strict=True)))
    return held._replace(weights=held.weights + teacher_bytes(stage, spread, is_bf16=is_bf16))


def _measures(stage: Stage[Never]) -> bool:
    return not isinstance(stage.reference, Off) and trains(stage)


def without_head(model: Model[Any]) -> Model[Any]:
    """Return the model without its head over the vocabulary; a critic and a reward model have one row in its place."""
    return model.replacing(tie_embeddings=True)


def _critic_bytes(experiment: Experiment[Never], stage: Stage[Never]) -> int:
    return _held(experiment.replacing(model=without_head(experiment.model)), stage).total


def _held(experiment: Experiment[Never], stage: Stage[Never]) -> RankBytes:
    spread, is_bf16 = _spread_of(experiment, stage)
    model = without_head(experiment.model) if trains_scores(stage) else experiment.model
    held = trained_bytes(model, spread, stage.train, stage.optim, is_bf16=is_bf16)
    return held if trains(stage) else held._replace(gradients=0, optimizer=0)


def _with_prediction(held: RankBytes, experiment: Experiment[Never], stage: Stage[Never]) -> RankBytes:
    """The same with the layers that predict further tokens, in one process: they are held as soon as a stage trains
    them or drafts with them.
    """
    more = _prediction_bytes(experiment)
    if isinstance(stage.train.mtp, Off):
        return held._replace(weights=held.weights + more)
    optimizer = held.optimizer + moments_of(stage.optim) * more
    return held._replace(weights=held.weights + more, gradients=held.gradients + more, optimizer=optimizer)


def _prediction_bytes(experiment: Experiment[Never]) -> int:
    if not holds_further_layers(experiment):
        return 0
    return prediction_parameters(experiment.model) * FP32_BYTES


def _taught(experiment: Experiment[Never], stage: Stage[Never]) -> int:
    spread, is_bf16 = _spread_of(experiment, stage)
    return teacher_bytes(stage, spread, is_bf16=is_bf16)


def _spread_of(experiment: Experiment[Never], stage: Stage[Never]) -> tuple[Spread, bool]:
    """Return the axes, and whether weights are kept in bf16."""
    parallel = experiment.parallel
    has_gpus = isinstance(parallel, Parallel)
    spread = Spread(*(getattr(parallel, axis) for axis in Spread._fields)) if has_gpus else _ALONE
    return spread, has_gpus and stage.train.precision == "bf16"


def _engine_bytes(experiment: Experiment[Never]) -> int:
    placement = experiment.placement
    if isinstance(placement, GpuPlacement):
        each = min(group.gpus for group in placement.engine_groups())
        rollouts = (s.rollout for s in experiment.stages if has_engine(s))
        formats = (engine_formats(one.engine) for one in rollouts if not isinstance(one, Off))
        return max(engine_weight_bytes(experiment.model, each, one) for one in formats)
    return parameters_of(experiment.model).total * FP32_BYTES + _prediction_bytes(experiment)


def _kv_cache_bytes(experiment: Experiment[Never], stage: Stage[Never]) -> int:
    """Return the bytes of what the engine holds at once.

    Engines on GPUs size their caches by themselves: all sequences that are decoded at once, each at its longest, but no
    more than an engine's share of a rollout.
    """
    rollout, placement = stage.rollout, experiment.placement
    if isinstance(rollout, Off) or not has_engine(stage):
        return 0
    sequences, context = rollout.concurrency, rollout.max_context_tokens
    if not isinstance(placement, GpuPlacement):
        held = rollout.engine.cache_tokens
        tokens, model = sequences * context if isinstance(held, Off) else held, experiment.model
        if not isinstance(rollout.speculation, Off):
            # The layer that drafts has keys and values, too, and every row room for what is drafted and not kept.
            model = model.replacing(num_layers=model.num_layers + 1)
            tokens += sequences * (rollout.speculation.num_draft_tokens + 1)
        return tokens * kv_bytes_per_token(model)
    each = placement.gpus_per_engine
    engines = placement.generating_engines()
    if isinstance(rollout, Rollout):
        sequences = min(sequences, -(-rollout.prompts_per_step * rollout.samples_per_prompt // engines))
    return sequences * engine_sequence_bytes(experiment.model, each, context, engine_formats(rollout.engine))
