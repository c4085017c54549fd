"""The critic on PyTorch: its values against a plain forward pass, what it learns, and what it saves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.algorithm import Critic
from compiler.ir.training import Packing
from runtime.engines.train.critic import VALUE_HEAD, TorchCritic
from stdlib.algorithms import ppo
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import grouped_batch, hf_model, spec_of, tiny_optim, tiny_train, tiny_weights

pytestmark = pytest.mark.torch


def critic_of(*, lr: float = 1e-2, seed: int = 0, tokens: int | None = None, head: Tensor | None = None) -> TorchCritic:
    further = {} if tokens is None else {"train": tiny_train(packing=Packing(tokens=tokens))}
    spec = spec_of(optim=tiny_optim(lr=lr), **further)
    found = TorchCritic(spec, Critic(lr=lr), ppo, tiny_weights(spec.model, seed))
    if head is not None:
        state = found.state()
        found.load_state({**state, f"critic.{VALUE_HEAD}": head})
    return found


def some_head() -> Tensor:
    return torch.randn(1, 32, generator=torch.Generator().manual_seed(3))


def with_targets(critic: TorchCritic, batch: TrainBatch) -> TrainBatch:
    returns_T = torch.randn(batch.mask_T.shape, generator=torch.Generator().manual_seed(5)) * batch.mask_T
    return replace(batch, values_T=critic.values(batch), returns_T=returns_T)


def test_values_begin_at_zero() -> None:
    assert critic_of().values(grouped_batch()).abs().max() == 0.0


def test_values_are_those_of_the_state_before_each_token() -> None:
    head, batch = some_head(), grouped_batch()
    found = critic_of(head=head).values(batch)
    model = hf_model(spec_of().model)
    expected: list[Tensor] = []
    with torch.no_grad():
        for tokens in batch.tokens_T.split(list(batch.lengths_N)):
            hidden = model.model(input_ids=tokens[None]).last_hidden_state[0, :-1]
            expected += [torch.zeros(1), (hidden @ head.t())[:, 0]]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_values_do_not_depend_on_the_cut_into_micro_batches() -> None:
    head, batch = some_head(), grouped_batch()
    whole, cut = critic_of(head=head), critic_of(head=head, tokens=64)
    torch.testing.assert_close(whole.values(batch), cut.values(batch), atol=1e-5, rtol=1e-4)
    first, second = whole.step(with_targets(whole, batch)), cut.step(with_targets(cut, batch))
    for name, value in first.items():
        assert second[name] == pytest.approx(value, rel=1e-4), name


def test_the_critic_learns_the_returns_that_it_is_shown() -> None:
    critic = critic_of()
    batch = grouped_batch()
    target = with_targets(critic, batch)
    errors = []
    for _ in range(40):
        errors.append(critic.step(replace(target, values_T=critic.values(batch)))["critic/value_error"])
    assert errors[-1] < 0.1 * errors[0]


def test_a_critic_goes_on_from_its_state_bit_by_bit() -> None:
    first, batch = critic_of(), grouped_batch()
    first.step(with_targets(first, batch))
    second = critic_of(seed=1)
    second.load_state(first.state())
    after = [critic.step(with_targets(critic, batch)) for critic in (first, second)]
    assert after[0] == after[1]
    assert all(tensor.equal(second.state()[name]) for name, tensor in first.state().items())


def test_a_state_of_another_shape_is_refused() -> None:
    critic = critic_of()
    with pytest.raises(SpecError, match="RLC0644"):
        critic.load_state({**critic.state(), f"critic.{VALUE_HEAD}": torch.zeros(1, 3)})


def test_an_infinite_return_changes_nothing() -> None:
    critic = critic_of()
    before, batch = critic.state(), grouped_batch()
    with pytest.raises(SpecError, match="RLC0641"):
        critic.step(replace(with_targets(critic, batch), returns_T=torch.full(batch.mask_T.shape, torch.inf)))
    assert all(tensor.equal(before[name]) for name, tensor in critic.state().items())


def test_a_batch_without_returns_is_refused() -> None:
    with pytest.raises(InternalError, match="values and returns"):
        critic_of().step(grouped_batch())
