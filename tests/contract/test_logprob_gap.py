"""Two forwards: a rollout engine's log-probs and a trainer's, computed by different code, bound each other."""

from __future__ import annotations

from typing import Any, Never

import pytest
import torch

from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.protocols import DrawKey
from runtime.weights.sync import sync_weights
from stdlib.samples import TrainBatch
from tests.contract.rollout_engines import ENGINE_PARAMS, MODELS, EngineClass, generate, request
from tests.runtime.engines.tiny_trainer import grouped_batch, spec_of, trainer_of
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

GAP_MAX = 1e-4


@pytest.fixture(params=ENGINE_PARAMS)
def engine_class(request: pytest.FixtureRequest) -> EngineClass:
    return request.param


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_engine_and_trainer_agree_on_what_was_sampled(
    engine_class: EngineClass, model: Model[Never], temperature: float
) -> None:
    trainer = trainer_of(spec_of(model=model, temperature=temperature))
    trainer.step(grouped_batch())
    engine = engine_class(model, concurrency=5, max_context_tokens=128)
    sync_weights(trainer, engine, 1, verify=True)
    rollout = rollout_of(engine, temperature)
    is_sampled_T = rollout.mask_T > 0
    gap_T = (trainer.logprobs(rollout, of="policy") - rollout.rollout_logprobs_T)[is_sampled_T].abs()
    assert gap_T.numel() == 4 * 3 * 50
    assert float(gap_T.max()) < GAP_MAX


def test_the_gap_shows_that_the_weights_are_old(engine_class: EngineClass) -> None:
    trainer = trainer_of(spec_of())
    engine = engine_class(spec_of().model, concurrency=5, max_context_tokens=128)
    sync_weights(trainer, engine, 1, verify=True)
    rollout = rollout_of(engine, 1.0)
    trainer.step(grouped_batch())
    gap_T = (trainer.logprobs(rollout, of="policy") - rollout.rollout_logprobs_T) * rollout.mask_T
    assert float(gap_T.abs().max()) > 10 * GAP_MAX


def rollout_of(engine: Any, temperature: float) -> TrainBatch:
    """Return three responses of 50 tokens to each of four prompts, packed, the responses masked in."""
    prompts = [[7], [3, 1, 2], [(5 * i) % VOCAB for i in range(33)], [(11 * i) % VOCAB for i in range(60)]]
    sampling = Sampling(temperature=temperature, top_p=1.0, top_k=OFF)
    asked = [
        request(p, key=DrawKey(seed=1, stage=0, step=0, group=i), num_samples=3, max_new_tokens=50, sampling=sampling)
        for i, p in enumerate(prompts)
    ]
    tokens, mask, logprobs, lengths = list[int](), list[float](), list[float](), list[int]()
    for completion in generate(engine, asked):
        prompt = prompts[completion.request]
        tokens += [*prompt, *completion.tokens]
        mask += [0.0] * len(prompt) + [1.0] * len(completion.tokens)
        logprobs += [0.0] * len(prompt) + list(completion.logprobs)
        lengths.append(len(prompt) + len(completion.tokens))
    return TrainBatch(
        tokens_T=torch.tensor(tokens),
        lengths_N=tuple(lengths),
        mask_T=torch.tensor(mask),
        rollout_logprobs_T=torch.tensor(logprobs),
        versions_T=torch.ones(len(tokens), dtype=torch.int64),
        advantages_T=torch.zeros(len(tokens)),
    )
