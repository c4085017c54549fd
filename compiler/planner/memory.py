"""Bytes and parameters that can be counted exactly: weights, gradients, optimizer state, keys and values.

Activations and the working memory of kernels are not in it.
"""

from __future__ import annotations

from typing import Never

from compiler.ir.experiment import Experiment, Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.plan import Forecast, StageForecast
from compiler.planner.parameters import is_full_attention, parameters_of, picks_tokens

FP32_BYTES = 4
_MOMENTS = {"adamw": 2, "sgd": 1}


def forecast(experiment: Experiment[Never]) -> Forecast:
    """Return what a run needs at least."""
    model = experiment.model
    parameters = parameters_of(model)
    weights = parameters.total * FP32_BYTES
    stages = experiment.stages
    return Forecast(
        parameters=parameters.total,
        active_parameters=parameters.active,
        weight_bytes=weights,
        gradient_bytes=weights,
        optimizer_bytes=max(_optimizer_bytes(stage, weights) for stage in stages),
        reference_bytes=weights if any(not isinstance(s.reference, Off) for s in stages) else 0,
        engine_weight_bytes=weights if any(not isinstance(s.rollout, Off) for s in stages) else 0,
        stages=tuple(
            StageForecast(
                stage=stage.name,
                kv_cache_bytes=_kv_cache_bytes(stage, model),
                max_sampled_tokens=stage.budget.max_sampled_tokens,
            )
            for stage in stages
        ),
    )


def kv_bytes_per_token(model: Model[object], bytes_per_number: int = FP32_BYTES) -> int:
    """Return the bytes of what is cached of one token.

    Keys and values, or the latent vector that they come from, and the key of each indexer.
    """
    layers = sum(is_full_attention(model, at) for at in range(model.num_layers))
    if not isinstance(model.mla, Off):
        numbers = layers * (model.mla.kv_lora_rank + model.mla.qk_rope_dim)
        if not isinstance(model.indexer, Off):
            picking = sum(picks_tokens(model.indexer, at) for at in range(model.num_layers))
            numbers += picking * model.indexer.head_dim
        return numbers * bytes_per_number
    return 2 * layers * model.num_kv_heads * model.head_dim * bytes_per_number


def _optimizer_bytes(stage: Stage[Never], weight_bytes: int) -> int:
    moments = _MOMENTS[stage.optim.name]
    if stage.optim.name == "sgd" and stage.optim.momentum == 0:
        moments = 0
    return moments * weight_bytes


def _kv_cache_bytes(stage: Stage[Never], model: Model[Never]) -> int:
    rollout = stage.rollout
    if isinstance(rollout, Off):
        return 0
    return rollout.concurrency * rollout.max_context_tokens * kv_bytes_per_token(model)
