"""Checkpoints of the trainer, its determinism, its update rules and its schedule."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from runtime.engines.train.learning_rate import learning_rate
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.torch_ import TorchTrainer
from stdlib.algorithms import sft
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    policy_params,
    spec_of,
    supervised_params,
    tiny_optim,
    tiny_train,
    trainer_of,
)
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def only_deterministic_operations() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def digest_after_steps(steps: int = 3) -> str:
    """Return a digest of all state after some steps with every feature in use."""
    params = policy_params(entropy_coef=0.01)
    trainer = trainer_of(spec_of(params=params, optim=tiny_optim(weight_decay=0.1), keep_reference=True))
    for seed in range(steps):
        trainer.step(grouped_batch(seed, lengths=(1, 150)))
    return digest(trainer)


def digest(trainer: TorchTrainer) -> str:
    found = hashlib.sha256()
    for name, tensor in trainer.state().items():
        found.update(name.encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def test_a_second_process_computes_the_same_bits() -> None:
    code = (
        "import torch; torch.use_deterministic_algorithms(True)\n"
        "from tests.runtime.engines.test_torch_trainer_state import digest_after_steps; print(digest_after_steps())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest_after_steps()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "rule",
    [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}, {"name": "sgd"}],
    ids=["adamw", "momentum", "sgd"],
)
def test_a_restored_trainer_continues_bit_by_bit(rule: dict[str, Any], precision: str) -> None:
    optim = tiny_optim(**rule, schedule="cosine", warmup_steps=1, weight_decay=0.01)
    spec = spec_of(optim=optim, train=tiny_train(precision=precision), keep_reference=True)
    straight = trainer_of(spec)
    for seed in range(2):
        straight.step(grouped_batch(seed))
    saved = straight.state()
    restored = trainer_of(spec, seed=99)
    assert digest(restored) != digest(straight)
    restored.load_state(saved)
    assert digest(restored) == digest(straight)
    for seed in (2, 3):
        assert restored.step(grouped_batch(seed)) == straight.step(grouped_batch(seed))
    assert digest(restored) == digest(straight)
    straight.load_state(saved)
    assert straight.step(grouped_batch(2)) != restored.step(grouped_batch(2))
    straight.step(grouped_batch(3))


def test_state_before_the_first_step_is_complete() -> None:
    trainer = trainer_of(spec_of(keep_reference=True))
    names = set(trainer.state())
    trainer.step(grouped_batch())
    assert set(trainer.state()) == names
    weights = [name for name, _ in trainer.named_weights()]
    prefixes = ("model", "reference", "optim.exp_avg", "optim.exp_avg_sq")
    assert names == {f"{prefix}.{name}" for prefix in prefixes for name in weights} | {"optim.step"}


def test_a_state_that_does_not_fit_is_refused() -> None:
    trainer = trainer_of(spec_of())
    before = digest(trainer)
    other = trainer_of(spec_of(model=tiny_model(num_layers=1))).state()
    with pytest.raises(SpecError) as caught:
        trainer.load_state(other)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "RLC0644"
    assert "model.model.layers.1.self_attn.q_proj.weight is missing" in diagnostic.message
    assert digest(trainer) == before


def update_of(optim: dict[str, Any], gradients: list[Tensor], start: Tensor) -> Tensor:
    parameter = start.clone().requires_grad_()
    rule = Optimizer(tiny_optim(**optim), {"p": parameter})
    for gradient in gradients:
        parameter.grad = gradient.clone()
        rule.step()
    return parameter.detach()


def test_adamw_follows_its_recurrence() -> None:
    start, gradients = torch.tensor([[1.0, -2.0]]), [torch.tensor([[0.5, -0.1]]), torch.tensor([[-0.2, 0.3]])]
    found = update_of({"lr": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.5}, gradients, start)
    p, m, v = start.double(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double()
    for t, g in enumerate((g.double() for g in gradients), start=1):
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        p = p * (1 - 0.1 * 0.5)
        p = p - 0.1 * (m / (1 - 0.8**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-3)
    torch.testing.assert_close(found.double(), p, atol=1e-6, rtol=0)


def test_sgd_with_momentum_follows_its_recurrence_with_decoupled_decay() -> None:
    start, gradients = torch.tensor([[1.0, -2.0]]), [torch.tensor([[0.5, -0.1]]), torch.tensor([[-0.2, 0.3]])]
    found = update_of({"name": "sgd", "lr": 0.1, "momentum": 0.6, "weight_decay": 0.5}, gradients, start)
    p, velocity = start.double(), torch.zeros(1, 2).double()
    for g in gradients:
        velocity = 0.6 * velocity + g.double()
        p = p * (1 - 0.1 * 0.5) - 0.1 * velocity
    torch.testing.assert_close(found.double(), p, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_vectors_are_not_decayed(name: str) -> None:
    optim = {"name": name, "lr": 0.1, "weight_decay": 0.5}
    vector, matrix = torch.tensor([3.0, 4.0]), torch.tensor([[3.0, 4.0]])
    assert update_of(optim, [torch.zeros(2)], vector).equal(vector)
    torch.testing.assert_close(update_of(optim, [torch.zeros(1, 2)], matrix), matrix * 0.95)


def test_clipping_scales_the_whole_gradient_and_reports_the_norm_before() -> None:
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert Optimizer(tiny_optim(clip_grad_norm=0.5), {"a": a, "b": b}).clip_gradients() == pytest.approx(5.0)
    torch.testing.assert_close(a.grad, torch.tensor([0.3, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(b.grad, torch.tensor([0.4]), atol=1e-5, rtol=0)


def test_clipping_leaves_small_gradients_and_can_be_off() -> None:
    for limit in (6.0, OFF):
        a = torch.zeros(2, requires_grad=True)
        a.grad = torch.tensor([3.0, 4.0])
        assert Optimizer(tiny_optim(clip_grad_norm=limit), {"a": a}).clip_gradients() == pytest.approx(5.0)
        assert a.grad.tolist() == [3.0, 4.0]


def test_schedules_by_hand() -> None:
    shape = {"lr": 1.0, "min_lr": 0.2, "warmup_steps": 3, "total_steps": 7}
    warm = [0.25, 0.5, 0.75]
    rates = {name: [learning_rate(tiny_optim(**shape, schedule=name), k) for k in range(9)] for name in SCHEDULES}
    assert rates["constant"] == pytest.approx([*warm, *[1.0] * 6])
    assert rates["linear"] == pytest.approx([*warm, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    half = math.sqrt(0.5)
    assert rates["cosine"] == pytest.approx([*warm, 1.0, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2, 0.2])


SCHEDULES = ("constant", "linear", "cosine")


def test_schedules_without_warm_up_equal_those_of_torch() -> None:
    optim = {name: tiny_optim(lr=0.3, min_lr=0.03, total_steps=20, schedule=name) for name in ("linear", "cosine")}
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    linear = torch.optim.lr_scheduler.LinearLR(rule, 1.0, 0.1, 20)
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(other, 20, 0.03)
    for k in range(20):
        assert learning_rate(optim["linear"], k) == pytest.approx(linear.get_last_lr()[0])
        assert learning_rate(optim["cosine"], k) == pytest.approx(cosine.get_last_lr()[0])
        rule.step()
        other.step()
        linear.step()
        cosine.step()


def test_the_trainer_uses_the_rate_of_its_step() -> None:
    optim = tiny_optim(lr=1e-3, schedule="linear", warmup_steps=1, total_steps=5)
    trainer = trainer_of(spec_of(optim=optim, params=supervised_params()), sft)
    rates = [trainer.step(grouped_batch())["train/lr"] for _ in range(3)]
    assert rates == pytest.approx([5e-4, 1e-3, 7.5e-4])
