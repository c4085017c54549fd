"""The torch trainer against plain Hugging Face passes, one sequence at a time, and against itself cut differently."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import KL
from compiler.ir.openness import OFF
from compiler.ir.training import Packing
from runtime.engines.train.torch_ import TorchTrainer
from stdlib.algorithms import sft
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import (
    batch_of,
    grouped_batch,
    hf_model,
    plain_logprobs,
    policy_params,
    spec_of,
    supervised_params,
    tiny_optim,
    tiny_train,
    tiny_weights,
    trainer_of,
)
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

PLAIN_SGD = tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF)


def gradients(trainer: TorchTrainer, batch: TrainBatch) -> dict[str, Tensor]:
    """Return the gradient of a step by plain descent at rate 1: weights before minus weights after."""
    before = {name: w.clone() for name, w in trainer.named_weights()}
    trainer.step(batch)
    return {name: before[name] - after for name, after in trainer.named_weights()}


def assert_all_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, atol: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_those_of_unpacked_passes(temperature: float) -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of(temperature=temperature))
    with torch.no_grad():
        expected = plain_logprobs(hf_model(tiny_model()), batch, temperature)
    torch.testing.assert_close(trainer.logprobs(batch, of="policy"), expected, atol=1e-5, rtol=0)


def test_temperature_zero_means_the_unscaled_distribution() -> None:
    batch = grouped_batch()
    greedy, plain = (trainer_of(spec_of(temperature=t)).logprobs(batch, of="policy") for t in (0.0, 1.0))
    assert greedy.equal(plain)


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_supervised_gradient_equals_that_of_unpacked_passes(tie_embeddings: bool) -> None:
    model, batch = tiny_model(tie_embeddings=tie_embeddings), grouped_batch()
    trainer = trainer_of(spec_of(model=model, params=supervised_params(), optim=PLAIN_SGD), sft)
    plain = hf_model(model)
    loss = -(plain_logprobs(plain, batch) * batch.mask_T).sum() / batch.mask_T.sum()
    loss.backward()
    expected = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    assert_all_close(gradients(trainer, batch), expected, atol=1e-5)


def test_policy_gradient_with_all_terms_equals_that_of_unpacked_passes() -> None:
    batch = grouped_batch()
    batch = replace(batch, ref_logprobs_T=batch.rollout_logprobs_T - 0.3 * batch.mask_T)
    params = policy_params(clip_high=0.3, reduction="sequence", kl=KL(estimator="k3", coef=0.1))
    trainer = trainer_of(spec_of(params=params, optim=PLAIN_SGD))
    plain = hf_model(tiny_model())
    logp, mask, advantages = plain_logprobs(plain, batch), batch.mask_T, batch.advantages_T
    assert batch.ref_logprobs_T is not None
    ratio = ((logp - batch.rollout_logprobs_T) * mask).exp()
    surrogate = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.3) * advantages)
    diff = (batch.ref_logprobs_T - logp) * mask
    per_token = (surrogate + 0.1 * (diff.exp() - 1 - diff)) * mask
    parts = zip(per_token.split(list(batch.lengths_N)), mask.split(list(batch.lengths_N)), strict=True)
    torch.stack([x.sum() / m.sum() for x, m in parts]).mean().backward()
    expected = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    assert_all_close(gradients(trainer, batch), expected, atol=1e-5)


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_the_cut_into_micro_batches_changes_neither_loss_nor_gradient(reduction: str) -> None:
    batch = grouped_batch()
    cuts: list[dict[str, Any]] = [{}, {"micro_batch": 1}, {"micro_batch": 5}, {"packing": Packing(tokens=60)}]
    losses: list[float] = []
    norms: list[float] = []
    found: list[dict[str, Tensor]] = []
    for cut in cuts:
        params = policy_params(reduction=reduction, entropy_coef=0.01)
        trainer = trainer_of(spec_of(train=tiny_train(**cut), params=params, optim=PLAIN_SGD))
        before = {name: w.clone() for name, w in trainer.named_weights()}
        metrics = trainer.step(batch)
        losses.append(metrics["train/loss"])
        norms.append(metrics["train/grad_norm"])
        found.append({name: before[name] - w for name, w in trainer.named_weights()})
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-6)
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-5)
    for other in found[1:]:
        assert_all_close(other, found[0], atol=1e-6)


def test_log_probs_do_not_depend_on_the_cut() -> None:
    batch = grouped_batch()
    whole = trainer_of(spec_of()).logprobs(batch, of="policy")
    cut = trainer_of(spec_of(train=tiny_train(packing=Packing(tokens=45)))).logprobs(batch, of="policy")
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)


def test_metrics_of_a_first_step() -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of(params=policy_params(old_logprobs="recompute")))
    batch = replace(batch, old_logprobs_T=trainer.logprobs(batch, of="policy"))
    metrics = trainer.step(batch)
    assert batch.old_logprobs_T is not None
    assert not [name for name in metrics if "gap" in name]  # known before the step, from those log-probs
    assert metrics["train/ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["train/clip_frac"] == 0.0
    assert metrics["train/approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["train/lr"] == 1e-2
    assert metrics["train/num_tokens"] == float(batch.mask_T.sum())
    expected = -float((batch.advantages_T * batch.mask_T).sum() / batch.mask_T.sum())
    assert metrics["train/loss"] == pytest.approx(expected, abs=1e-6)
    assert 0.0 < metrics["train/entropy"] < math.log(37)


@pytest.mark.parametrize("old_logprobs", ["rollout", "current"])
def test_the_gap_to_the_engine_is_read_from_the_forward_pass_of_a_step(old_logprobs: Any) -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of(params=policy_params(old_logprobs=old_logprobs), gap_token_bound=0.5))
    compared_T = batch.mask_T * (torch.arange(len(batch.mask_T)) % 2)
    d = (trainer.logprobs(batch, of="policy") - batch.rollout_logprobs_T)[compared_T != 0].double()
    metrics = trainer.step(replace(batch, compared_T=compared_T))
    assert metrics["train/logprob_gap"] == pytest.approx(float(d.abs().mean()), rel=1e-5)
    assert metrics["train/logprob_gap_max"] == pytest.approx(float(d.abs().max()), rel=1e-5)
    assert metrics["train/logprob_gap_k1"] == pytest.approx(float(-d.mean()), rel=1e-5)
    assert metrics["train/logprob_gap_k3"] == pytest.approx(float((d.exp() - 1 - d).mean()), rel=1e-5)
    assert metrics["train/logprob_gap_beyond_frac"] == float((d.abs() > 0.5).double().mean())


def test_current_log_probs_make_every_ratio_one() -> None:
    metrics = trainer_of(spec_of(params=policy_params(old_logprobs="current"))).step(grouped_batch())
    assert metrics["train/ratio_mean"] == pytest.approx(1.0)
    assert metrics["train/approx_kl"] == 0.0


def test_the_mask_of_a_first_token_is_ignored() -> None:
    batch = batch_of([[1, 2, 3], [4, 5]], [0, 0])
    metrics = trainer_of(spec_of(params=supervised_params()), sft).step(batch)
    assert metrics["train/num_tokens"] == 3.0
    expected = -plain_logprobs(hf_model(tiny_model()), batch).sum() / 3
    assert metrics["train/loss"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_tokens_behind_the_mask_do_not_matter() -> None:
    batch = grouped_batch()
    counts = batch.mask_T > 0
    junk = replace(
        batch,
        rollout_logprobs_T=torch.where(counts, batch.rollout_logprobs_T, torch.nan),
        advantages_T=torch.where(counts, batch.advantages_T, torch.nan),
    )
    clean, dirty = trainer_of(spec_of()), trainer_of(spec_of())
    assert clean.step(batch) == dirty.step(junk)


def test_training_raises_the_probability_of_what_was_better() -> None:
    batch = batch_of([[1, 2, 3, 4], [1, 2, 5, 6]], [2, 2])
    batch = replace(batch, advantages_T=torch.tensor([0.0, 0, 1, 1, 0, 0, -1, -1]))
    trainer = trainer_of(spec_of(params=policy_params(old_logprobs="current"), optim=tiny_optim(lr=1e-3)))
    before = trainer.logprobs(batch, of="policy")
    for _ in range(5):
        trainer.step(batch)
    change = trainer.logprobs(batch, of="policy") - before
    assert change[2:4].sum() > 0.05
    assert change[6:8].sum() < -0.05


def test_reference_stays_where_it_was() -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of(keep_reference=True))
    before = trainer.logprobs(batch, of="reference")
    assert before.equal(trainer.logprobs(batch, of="policy"))
    trainer.step(batch)
    assert trainer.logprobs(batch, of="reference").equal(before)
    assert not trainer.logprobs(batch, of="policy").equal(before)


def test_bfloat16_is_close_to_float32_and_keeps_float32_weights() -> None:
    batch = grouped_batch()
    half, full = trainer_of(spec_of(train=tiny_train(precision="bf16"))), trainer_of(spec_of())
    gap = (half.logprobs(batch, of="policy") - full.logprobs(batch, of="policy")).abs()
    assert 1e-5 < gap.max() < 0.1
    assert half.step(batch)["train/grad_norm"] == pytest.approx(full.step(batch)["train/grad_norm"], rel=0.1)
    assert {w.dtype for _, w in half.named_weights()} == {torch.float32}


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_leaves_the_weights_alone(poison: float) -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of(optim=tiny_optim(clip_grad_norm=OFF)))
    before = trainer.state()
    with pytest.raises(SpecError) as caught:
        trainer.step(replace(batch, advantages_T=torch.full_like(batch.advantages_T, poison)))
    assert caught.value.diagnostics[0].code == "RLC0641"
    assert all(tensor.equal(before[name]) for name, tensor in trainer.state().items())
    clean = trainer_of(spec_of(optim=tiny_optim(clip_grad_norm=OFF)))
    assert trainer.step(batch) == clean.step(batch)


def test_faults_of_the_batch_are_coded() -> None:
    batch = grouped_batch()
    trainer = trainer_of(spec_of())
    recompute = trainer_of(spec_of(params=policy_params(old_logprobs="recompute")))
    with_kl = trainer_of(spec_of(params=policy_params(kl=KL(estimator="k1"))))
    narrow = trainer_of(spec_of(train=tiny_train(packing=Packing(tokens=5))))
    cases = [
        ("RLC0645", lambda: trainer.step(replace(batch, mask_T=torch.zeros_like(batch.mask_T)))),
        ("RLC0643", lambda: trainer.logprobs(batch, of="reference")),
        ("RLC0643", lambda: recompute.step(batch)),
        ("RLC0643", lambda: with_kl.step(batch)),
        ("RLC0642", lambda: narrow.step(batch)),
    ]
    for code, action in cases:
        with pytest.raises(SpecError) as caught:
            action()
        assert caught.value.diagnostics[0].code == code


def test_weights_that_do_not_fit_are_named() -> None:
    spec = spec_of()
    weights = tiny_weights(spec.model)
    norm = weights.pop("model.norm.weight")
    weights["model.nrom.weight"] = norm
    weights["model.embed_tokens.weight"] = torch.zeros(3, 3)
    with pytest.raises(SpecError) as caught:
        TorchTrainer(spec, sft, weights)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "RLC0640"
    assert "model.norm.weight is missing" in diagnostic.message
    assert "model.nrom.weight is unknown" in diagnostic.message
    assert "model.embed_tokens.weight has shape [3, 3] instead of [37, 32]" in diagnostic.message


def test_a_tied_head_may_be_given_if_it_is_the_embedding() -> None:
    spec = spec_of()
    weights = tiny_weights(spec.model)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    named = dict(TorchTrainer(spec, sft, weights).named_weights())
    assert "lm_head.weight" not in named
    weights["lm_head.weight"] += 1.0
    with pytest.raises(SpecError, match="RLC0640"):
        TorchTrainer(spec, sft, weights)


def test_given_weights_are_copied() -> None:
    spec = spec_of()
    weights = tiny_weights(spec.model)
    kept = {name: w.clone() for name, w in weights.items()}
    trainer = TorchTrainer(spec, sft, weights)
    assert_all_close(dict(trainer.named_weights()), kept, atol=0.0)
    trainer_of(spec).step(grouped_batch())
    assert all(w.equal(kept[name]) for name, w in weights.items())
