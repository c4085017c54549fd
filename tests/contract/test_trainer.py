"""What every trainer must do, whatever computes its gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Never

import pytest
import torch

from compiler.ir.model import Model
from runtime.protocols import Trainer
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    policy_params,
    spec_of,
    tiny_families,
    tiny_weights,
    trainer_of,
)

pytestmark = pytest.mark.torch

MakeTrainer = Callable[[], Trainer]


def torch_trainer(model: Model[Never]) -> Trainer:
    return trainer_of(spec_of(model=model, keep_reference=True, params=policy_params(entropy_coef=0.01)))


@pytest.fixture(params=tiny_families().values(), ids=list(tiny_families()))
def model(request: pytest.FixtureRequest) -> Model[Never]:
    return request.param


@pytest.fixture(params=[torch_trainer], ids=["torch"])
def make_trainer(request: pytest.FixtureRequest, model: Model[Never]) -> MakeTrainer:
    return partial(request.param, model)


def test_it_starts_from_the_given_weights(make_trainer: MakeTrainer, model: Model[Never]) -> None:
    given = tiny_weights(model)
    named = dict(make_trainer().named_weights())
    assert named.keys() == given.keys()
    assert all(named[name].equal(tensor) and named[name].dtype == torch.float32 for name, tensor in given.items())


def test_log_probs_are_float32_negative_and_zero_where_nothing_is_predicted(make_trainer: MakeTrainer) -> None:
    batch = grouped_batch()
    for of in ("policy", "reference"):
        logp = make_trainer().logprobs(batch, of=of)
        assert logp.shape == batch.tokens_T.shape
        assert logp.dtype == torch.float32
        assert not logp.requires_grad
        firsts = torch.tensor([0, *batch.lengths_N[:-1]]).cumsum(0)
        is_first = torch.zeros_like(logp, dtype=torch.bool).index_fill(0, firsts, True)
        assert logp[is_first].eq(0).all()
        assert logp[~is_first].lt(0).all()


def test_probabilities_of_all_continuations_sum_to_one(make_trainer: MakeTrainer) -> None:
    prefix, vocab = [3, 1, 2], spec_of().model.vocab_size
    tokens = torch.tensor([t for last in range(vocab) for t in [*prefix, last]])
    batch = replace(
        grouped_batch(),
        tokens_T=tokens,
        lengths_N=(4,) * vocab,
        mask_T=torch.ones(4 * vocab),
        rollout_logprobs_T=torch.zeros(4 * vocab),
        advantages_T=torch.zeros(4 * vocab),
    )
    logp = make_trainer().logprobs(batch, of="policy").view(vocab, 4)
    assert float(logp[:, 3].exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_a_step_changes_the_policy_but_not_the_reference(make_trainer: MakeTrainer) -> None:
    trainer, batch = make_trainer(), grouped_batch()
    before = {of: trainer.logprobs(batch, of=of) for of in ("policy", "reference")}
    trainer.step(batch)
    assert not trainer.logprobs(batch, of="policy").equal(before["policy"])
    assert trainer.logprobs(batch, of="reference").equal(before["reference"])


def test_metrics_are_finite_numbers_under_one_prefix(make_trainer: MakeTrainer) -> None:
    metrics = make_trainer().step(grouped_batch())
    assert all(name.startswith("train/") for name in metrics)
    assert {"train/loss", "train/grad_norm", "train/lr", "train/entropy", "train/clip_frac"} <= metrics.keys()
    assert torch.tensor(list(metrics.values())).isfinite().all()


def test_two_trainers_agree_to_the_bit(make_trainer: MakeTrainer) -> None:
    trainers = make_trainer(), make_trainer()
    for seed in range(2):
        first, second = (dict(t.step(grouped_batch(seed))) for t in trainers)
        assert first == second
    for (_, a), (_, b) in zip(*(t.named_weights() for t in trainers), strict=True):
        assert a.equal(b)
