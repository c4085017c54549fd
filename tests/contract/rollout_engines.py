"""The rollout engines under contract, requests for them, and what Hugging Face says that they should answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.protocols import Completion, DrawKey, GenerationRequest, RolloutEngine
from tests.runtime.engines.tiny_trainer import tiny_families, tiny_weights
from tests.support.served_engine import served_native
from tests.support.tiny_model import tiny_model

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel

EngineClass = Callable[..., RolloutEngine]

ENGINES: dict[str, EngineClass] = {"native": NativeEngine, "native behind HTTP": served_native}
ENGINE_PARAMS = [pytest.param(engine_class, id=name) for name, engine_class in ENGINES.items()]

MODELS: dict[str, Model[Never]] = {
    "tied, two queries a key": tiny_model(),
    "untied, a key each, heads of hidden / heads": tiny_model(tie_embeddings=False, num_kv_heads=4, head_dim=8),
    "untied, one key, wide heads": tiny_model(tie_embeddings=False, num_heads=6, num_kv_heads=1, head_dim=20),
    "tied, one layer, another base": tiny_model(num_layers=1, rope_base=1e6, norm_eps=1e-5),
    **{family: model for family, model in tiny_families().items() if family != "qwen3"},
}

PLAIN = Sampling(temperature=1.0, top_p=1.0, top_k=OFF)
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=OFF)
SAMPLINGS = (
    PLAIN,
    Sampling(temperature=0.7, top_p=1.0, top_k=OFF),
    Sampling(temperature=1.5, top_p=1.0, top_k=5),
    Sampling(temperature=1.0, top_p=0.8, top_k=OFF),
    Sampling(temperature=1.3, top_p=0.6, top_k=11),
)


def engine_of(
    engine_class: EngineClass,
    model: Model[Never] | None = None,
    *,
    concurrency: int = 8,
    max_context_tokens: int = 128,
    seed: int = 0,
) -> RolloutEngine:
    """Return an engine with the weights of `hf_model(model, seed)`, version 1."""
    model = model or tiny_model()
    engine = engine_class(model, concurrency=concurrency, max_context_tokens=max_context_tokens)
    engine.load_weights(iter(weights_of(model, seed).items()), version=1)
    return engine


def weights_of(model: Model[Never], seed: int = 0) -> dict[str, Tensor]:
    return tiny_weights(model, seed)


def request(tokens: Sequence[int], **changes: Any) -> GenerationRequest:
    """Return a request for one sample of 12 tokens, its stream named by the prompt's length."""
    plain = GenerationRequest(
        key=DrawKey(seed=11, stage=0, step=0, group=len(tokens)),
        tokens=tuple(tokens),
        num_samples=1,
        max_new_tokens=12,
        stop_token_ids=frozenset(),
        sampling=PLAIN,
    )
    return replace(plain, **changes)


def mixed_requests() -> list[GenerationRequest]:
    """Return requests that differ in all that a request can: lengths, samples, settings, stop tokens."""
    lengths = (1, 3, 40, 7, 16, 2, 33)
    return [
        request(
            [(5 * i + 3 * length) % 37 for i in range(length)],
            key=DrawKey(seed=11, stage=0, step=0, group=i),
            num_samples=1 + i % 3,
            max_new_tokens=(5, 31, 9, 1, 20, 12, 17)[i],
            stop_token_ids=frozenset({4, 9}) if i % 2 else frozenset(),
            sampling=(*SAMPLINGS, GREEDY, PLAIN)[i],
        )
        for i, length in enumerate(lengths)
    ]


def generate(engine: RolloutEngine, requests: Sequence[GenerationRequest]) -> list[Completion]:
    """Return all responses, in the order of requests and samples."""

    async def collected() -> list[Completion]:
        return [c async for c in engine.generate(requests)]

    return sorted(asyncio.run(collected()), key=lambda c: (c.request, c.sample))


def hf_response_logits(model: CausalModel, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """Return [N, V] float64 logits before each response token, by one forward pass over the whole sequence."""
    tokens = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        return model(input_ids=tokens).logits[0, len(prompt) - 1 : -1].double()


def expected_distribution(logits_V: Tensor, sampling: Sampling) -> list[float]:
    """Return the probabilities of a token by the definition of the settings, one token after the other."""
    if sampling.temperature == 0:
        return logits_V.softmax(-1).tolist()
    weight = (logits_V / sampling.temperature).softmax(-1).tolist()
    ranked = sorted(range(len(weight)), key=lambda t: -weight[t])
    if not isinstance(sampling.top_k, Off):
        ranked = ranked[: sampling.top_k]
    total, held, kept = sum(weight[t] for t in ranked), 0.0, set[int]()
    for token in ranked:
        if held >= sampling.top_p * total:
            break
        kept.add(token)
        held += weight[token]
    return [w / held if t in kept else 0.0 for t, w in enumerate(weight)]
