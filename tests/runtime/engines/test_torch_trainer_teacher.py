"""A trainer with a teacher, against two unpacked Hugging Face models with full softmaxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import Algo, Teacher
from compiler.ir.loss import DistillationLoss
from compiler.ir.openness import OFF
from compiler.ir.training import Packing
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.train_batches import select
from stdlib.algorithms import distillation
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    hf_model,
    plain_logprobs,
    spec_of,
    tiny_optim,
    tiny_train,
    tiny_weights,
)
from tests.support.tiny_model import tiny_facts, tiny_model

pytestmark = pytest.mark.torch

# Wider, deeper, and with other heads than the student.
FACTS: dict[str, Any] = {"hidden_size": 48, "num_heads": 6, "num_kv_heads": 3, "num_layers": 3}
TEACHER_SEED = 5


def teacher_weights(seed: int = TEACHER_SEED) -> dict[str, Tensor]:
    return tiny_weights(tiny_model(**FACTS), seed)


def params(**loss: Any) -> distillation.Params[Never]:
    teacher: Teacher[Never] = Teacher(**tiny_facts(**FACTS))
    return distillation.Params(algo=Algo(name="distillation"), loss=DistillationLoss(**loss), teacher=teacher)


def spec(packing: Packing[Never] | None = None, *, micro_batch: Any = OFF, **loss: Any) -> TrainerSpec:
    return spec_of(
        train=tiny_train(packing=packing or Packing(tokens=OFF), micro_batch=micro_batch, vocab_chunk=10),
        optim=tiny_optim(name="sgd", lr=1.0, clip_grad_norm=OFF),
        params=params(**loss),
    )


def trainer(given: TrainerSpec) -> TorchTrainer:
    return TorchTrainer(given, distillation, tiny_weights(given.model), teacher_weights())


def step_of(given: TrainerSpec, batch: TrainBatch) -> tuple[float, dict[str, Tensor]]:
    """Return the loss and the gradient of one step of plain descent at rate 1."""
    built = trainer(given)
    before = {name: weight.clone() for name, weight in built.named_weights()}
    metrics = built.step(batch)
    return metrics["train/loss"], {name: before[name] - after for name, after in built.named_weights()}


def plain_loss(batch: TrainBatch, loss: DistillationLoss) -> tuple[float, dict[str, Tensor]]:
    student, teacher = hf_model(tiny_model()), hf_model(tiny_model(**FACTS), TEACHER_SEED)
    total, masks = torch.zeros(()), batch.mask_T.split(list(batch.lengths_N))
    for tokens, mask in zip(batch.tokens_T.split(list(batch.lengths_N)), masks, strict=True):
        z = student(input_ids=tokens[None]).logits[0, :-1] / loss.temperature
        with torch.no_grad():
            t = teacher(input_ids=tokens[None]).logits[0, :-1] / loss.temperature
        if loss.vocabulary == "topk":
            ids = t.topk(loss.topk).indices
            z, t = z.gather(1, ids), t.gather(1, ids)
        logq, logp = z.log_softmax(1), t.log_softmax(1)
        forward, reverse = (logp.exp() * (logp - logq)).sum(1), (logq.exp() * (logq - logp)).sum(1)
        share = {"forward": 1.0, "reverse": 0.0, "mixed": loss.forward_weight}[loss.divergence]
        total = total + ((share * forward + (1 - share) * reverse) * mask[1:]).sum()
    total = total / batch.mask_T.sum()
    total.backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    return float(total.detach()), gradients


@pytest.mark.parametrize(
    "loss",
    [
        {"divergence": "forward"},
        {"divergence": "reverse", "temperature": 0.7},
        {"divergence": "mixed", "forward_weight": 0.3},
        {"divergence": "mixed", "vocabulary": "topk", "topk": 7},
    ],
)
def test_loss_and_gradient_are_those_of_whole_tables_of_logits(loss: dict[str, Any]) -> None:
    found_loss, found = step_of(spec(**loss), grouped_batch())
    expected_loss, expected = plain_loss(grouped_batch(), DistillationLoss(**loss))
    assert found_loss == pytest.approx(expected_loss, abs=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("loss", [{"divergence": "mixed"}, {"vocabulary": "topk", "topk": 5, "outside_topk": "zero"}])
def test_packing_and_order_change_nothing(loss: dict[str, Any]) -> None:
    batch = grouped_batch()
    order = [7, 2, 11, 0, 5, 9, 1, 4, 10, 3, 8, 6]
    expected_loss, expected = step_of(spec(micro_batch=1, **loss), batch)
    for given, used in (
        (spec(Packing(tokens=70), **loss), batch),
        (spec(Packing(tokens=70, algorithm="concatenative", pad_multiple=16), **loss), select(batch, order)),
    ):
        found_loss, found = step_of(given, used)
        assert found_loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=2e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_what_does_not_count_has_no_effect() -> None:
    batch = grouped_batch()
    changed = replace(batch, rollout_logprobs_T=batch.rollout_logprobs_T * float("nan"))
    assert step_of(spec(), changed)[0] == step_of(spec(), batch)[0]


def test_the_teachers_logprobs_are_its_own_and_a_step_leaves_it_alone() -> None:
    built, batch = trainer(spec()), grouped_batch()
    expected = plain_logprobs(hf_model(tiny_model(**FACTS), TEACHER_SEED), batch).detach()
    for _ in range(2):
        torch.testing.assert_close(built.logprobs(batch, of="teacher"), expected, atol=2e-5, rtol=1e-4)
        built.step(batch)


def test_a_state_belongs_to_its_teacher_and_holds_none_of_its_weights() -> None:
    built, given = trainer(spec()), spec()
    state = built.state()
    assert [name for name in state if name.startswith("teacher")] == ["teacher.sha256"]
    trainer(given).load_state(state)
    other = TorchTrainer(given, distillation, tiny_weights(given.model), teacher_weights(6))
    with pytest.raises(SpecError) as caught:
        other.load_state(state)
    assert [d.code for d in caught.value.diagnostics] == ["RLC0654"]


def test_without_a_teacher_nothing_is_learnt() -> None:
    given = spec()
    built = TorchTrainer(given, distillation, tiny_weights(given.model))
    with pytest.raises(SpecError) as caught:
        built.step(grouped_batch())
    assert [d.code for d in caught.value.diagnostics] == ["RLC0643"]
