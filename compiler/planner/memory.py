"""Bytes and parameters that can be counted exactly: weights, gradients, optimizer state, keys and values.

Activations and the working memory of kernels are not in it.
"""

from __future__ import annotations

from typing import Never

from compiler.ir.experiment import Experiment, Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.plan import Forecast, StageForecast

FP32_BYTES = 4
_MOMENTS = {"adamw": 2, "sgd": 1}


def forecast(experiment: Experiment[Never]) -> Forecast:
    """Return what a run needs at least."""
    model = experiment.model
    parameters = count_parameters(model)
    weights = parameters * FP32_BYTES
    stages = experiment.stages
    return Forecast(
        parameters=parameters,
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


def count_parameters(model: Model[Never]) -> int:
    """Return the number of parameters of a dense decoder with grouped-query attention, QK norm and SwiGLU."""
    hidden, head = model.hidden_size, model.head_dim
    query, key_value = model.num_heads * head, model.num_kv_heads * head
    attention = hidden * (query + 2 * key_value) + query * hidden + 2 * head
    feed_forward = 3 * hidden * model.intermediate_size
    block = attention + feed_forward + 2 * hidden
    embeddings = model.vocab_size * hidden * (1 if model.tie_embeddings else 2)
    return model.num_layers * block + embeddings + hidden


def kv_bytes_per_token(model: Model[object], bytes_per_number: int = FP32_BYTES) -> int:
    """Return the bytes of keys and values of one token."""
    return 2 * model.num_layers * model.num_kv_heads * model.head_dim * bytes_per_number


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
