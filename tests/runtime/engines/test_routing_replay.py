"""Replay of routing: the experts of the engine and of the trainer's own earlier pass, visited again in training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from compiler.ir.training import Packing, PolicyTrain
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.train.torch_ import TorchTrainer
from runtime.protocols import DrawKey
from runtime.train_batches import policy_batch, select
from runtime.weights.sync import sync_weights
from stdlib.algorithms import grpo
from stdlib.samples import Prompt, Sample, SampleId, Segment, TrainBatch
from tests.contract.rollout_engines import generate, request
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    hf_model,
    spec_of,
    tiny_families,
    tiny_optim,
    tiny_train,
    tiny_weights,
)
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

ROUTED = {name: model for name, model in tiny_families().items() if name in ("qwen3_moe", "glm4_moe", "deepseek_v3")}
PROMPTS = ([3, 1, 2], [3, 1, 2, 9, 9], [(5 * i) % VOCAB for i in range(17)])


@pytest.fixture(params=ROUTED.values(), ids=list(ROUTED))
def model(request: pytest.FixtureRequest) -> Model[Never]:
    return request.param


def policy_train(**changes: Any) -> PolicyTrain[Never]:
    facts: dict[str, Any] = {**vars(tiny_train()), "steps_per_rollout": 1, **changes}
    return PolicyTrain(**facts)


def trainer_of(model: Model[Never], *, weights: dict[str, Tensor] | None = None, **changes: Any) -> TorchTrainer:
    spec = spec_of(model=model, train=policy_train(**changes), optim=tiny_optim(name="sgd"), keep_reference=True)
    return TorchTrainer(spec, grpo, weights or tiny_weights(model))


def near_ties(model: Model[Never]) -> dict[str, Tensor]:
    """Return weights whose routers hardly tell experts apart, and whose experts differ much."""
    weights = tiny_weights(model)
    for name, tensor in weights.items():
        if name.endswith("mlp.gate.weight"):
            tensor.mul_(0.002)
        elif name.endswith("e_score_correction_bias"):
            tensor.zero_()
        elif ".experts." in name:
            tensor.mul_(3.0)
    return weights


def sampled(trainer: TorchTrainer, model: Model[Never], *, rows: int = 4, returns_experts: bool = True) -> TrainBatch:
    """Return what the engine samples with the trainer's weights: two responses to each prompt."""
    engine = NativeEngine(model, concurrency=rows, max_context_tokens=64, returns_experts=returns_experts)
    sync_weights(trainer, engine, 1, verify=True)
    sampling = Sampling(temperature=1.0, top_p=1.0, top_k=OFF)
    asked = [
        request(p, key=DrawKey(seed=1, stage=0, step=0, group=i), num_samples=2, max_new_tokens=20, sampling=sampling)
        for i, p in enumerate(PROMPTS)
    ]
    found = sorted(generate(engine, asked), key=lambda c: (c.request, c.sample))
    samples = [
        Sample(
            id=SampleId(stage=0, step=0, group=c.request, sample=c.sample),
            prompt=Prompt(row=0, source="", text="", tokens=tuple(PROMPTS[c.request]), label=None),
            segments=(
                Segment(tokens=tuple(PROMPTS[c.request]), is_sampled=False),
                Segment(tokens=c.tokens, is_sampled=True, logprobs=c.logprobs, versions=c.versions),
            ),
            text="",
            finish="length",
            expert_ids=c.expert_ids,
        )
        for c in found
    ]
    batch = policy_batch(samples)
    generator = torch.Generator().manual_seed(5)
    return replace(batch, advantages_T=torch.randn(batch.mask_T.shape, generator=generator) * batch.mask_T)


def own_choices(model: Model[Never], batch: TrainBatch) -> Tensor:
    """Return [T, L, C] what the routers of Hugging Face's own model choose, one sequence at a time; -1 at its end."""
    plain: Any = hf_model(model)
    seen: list[Tensor] = []

    def keep(_gate: Any, _inputs: Any, output: tuple[Tensor, Tensor, Tensor]) -> None:
        seen.append(output[2])

    for layer in plain.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(keep)
    found: list[Tensor] = []
    for tokens in batch.tokens_T.split(list(batch.lengths_N)):
        seen.clear()
        plain(input_ids=tokens[None, :-1])
        chosen = torch.stack(seen, dim=1)
        found += [chosen, torch.full_like(chosen[:1], -1)]
    return torch.cat(found)


def in_any_order(ids_TLC: Tensor) -> Tensor:
    return ids_TLC.long().sort(-1).values


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_an_engine_says_which_experts_tokens_visited(model: Model[Never], rows: int) -> None:
    batch = sampled(trainer_of(model), model, rows=rows)
    assert batch.expert_ids_TLC is not None
    assert in_any_order(batch.expert_ids_TLC).equal(in_any_order(own_choices(model, batch)))


def test_an_engine_that_is_not_asked_says_nothing(model: Model[Never]) -> None:
    assert sampled(trainer_of(model), model, returns_experts=False).expert_ids_TLC is None


def test_a_pass_for_old_logprobs_records_what_the_router_chose(model: Model[Never]) -> None:
    trainer, batch = trainer_of(model, routing_replay="trainer", packing=Packing(tokens=64)), grouped_batch()
    found = trainer.with_old_logprobs(batch)
    assert found.expert_ids_TLC is not None
    assert found.expert_ids_TLC.dtype == torch.int16
    assert in_any_order(found.expert_ids_TLC).equal(in_any_order(own_choices(model, batch)))


def test_only_what_is_replayed_is_recorded(model: Model[Never]) -> None:
    for replayed in ("rollout", OFF):
        assert trainer_of(model, routing_replay=replayed).with_old_logprobs(grouped_batch()).expert_ids_TLC is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replay_of_ones_own_choice_changes_nothing(model: Model[Never], precision: str) -> None:
    plain = trainer_of(model, precision=precision)
    replaying = trainer_of(model, precision=precision, routing_replay="trainer")
    batch = replaying.with_old_logprobs(grouped_batch())
    assert batch.old_logprobs_T is not None
    assert batch.old_logprobs_T.equal(plain.logprobs(batch, of="policy"))
    assert replaying.logprobs(batch, of="policy").equal(batch.old_logprobs_T)
    assert replaying.step(batch) == {**plain.step(batch), "train/rerouted_frac": 0.0}
    for (name, ours), (_, theirs) in zip(replaying.named_weights(), plain.named_weights(), strict=True):
        assert ours.equal(theirs), name


def test_experts_that_are_given_are_those_that_a_bias_would_force() -> None:
    """The bias takes part in the choice and not in the weights, so it is an oracle of a replay."""
    for name in ("glm4_moe", "deepseek_v3"):
        model, batch = ROUTED[name], grouped_batch()
        weights = tiny_weights(model)
        bias = weights["model.layers.1.mlp.gate.e_score_correction_bias"]
        bias.copy_(torch.tensor([100.0, 0.0, 0.0, 100.0, 0.0, 0.0]))
        forced = trainer_of(model, weights=weights).logprobs(batch, of="policy")
        given = torch.tensor([0, 3], dtype=torch.int16).expand(batch.tokens_T.shape[0], 1, 2)
        replaying = trainer_of(model, routing_replay="rollout")
        batch = replace(batch, expert_ids_TLC=given)
        assert not torch.allclose(trainer_of(model).logprobs(batch, of="policy"), forced, atol=1e-2)
        torch.testing.assert_close(replaying.logprobs(batch, of="policy"), forced, atol=1e-5, rtol=0)


def test_a_softmax_router_weighs_what_is_given_by_its_own_scores() -> None:
    model, batch = ROUTED["qwen3_moe"], grouped_batch()
    given = torch.tensor([4, 1], dtype=torch.int16).expand(batch.tokens_T.shape[0], 2, 2)
    found = trainer_of(model, routing_replay="rollout").logprobs(replace(batch, expert_ids_TLC=given), of="policy")
    plain: Any = hf_model(model)
    for layer in plain.model.layers:
        layer.mlp.gate.forward = _router_of_two(layer.mlp.gate, (4, 1))
    expected: list[Tensor] = []
    for tokens in batch.tokens_T.split(list(batch.lengths_N)):
        logprobs = plain(input_ids=tokens[None]).logits[0, :-1].log_softmax(-1)
        expected += [torch.zeros(1), logprobs.gather(1, tokens[1:, None])[:, 0]]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)


def _router_of_two(gate: Any, pair: tuple[int, int]) -> Any:
    """Two softmax shares that are normed to one are a sigmoid of the difference of their logits."""

    def forward(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = hidden.reshape(-1, hidden.shape[-1]) @ gate.weight.T
        first = (logits[:, pair[0]] - logits[:, pair[1]]).sigmoid()
        ids = torch.tensor(pair).expand(logits.shape[0], 2)
        return logits, torch.stack([first, 1 - first], dim=1), ids

    return forward


def gaps(trainer: TorchTrainer, batch: TrainBatch) -> Tensor:
    return ((trainer.logprobs(batch, of="policy") - batch.rollout_logprobs_T) * batch.mask_T).abs()


def test_a_replay_narrows_the_gap_of_another_number_format(model: Model[Never]) -> None:
    weights = near_ties(model)
    batch = sampled(trainer_of(model, weights=weights), model)
    without = gaps(trainer_of(model, weights=weights, precision="bf16"), batch)
    replayed = gaps(trainer_of(model, weights=weights, precision="bf16", routing_replay="rollout"), batch)
    assert float(replayed.mean()) < 0.6 * float(without.mean())
    assert float(replayed.max()) < 0.6 * float(without.max())


def test_a_replay_closes_most_of_the_gap_of_routers_that_moved_a_little(model: Model[Never]) -> None:
    weights = near_ties(model)
    batch = sampled(trainer_of(model, weights=weights), model)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in weights.items():
        if name.endswith("mlp.gate.weight"):
            tensor.add_(1e-4 * torch.randn(tensor.shape, generator=generator))
    without = gaps(trainer_of(model, weights=weights), batch)
    replayed = gaps(trainer_of(model, weights=weights, routing_replay="rollout"), batch)
    assert float(without.max()) > 0.1
    assert float(replayed.max()) < 0.01


def test_one_corrupted_expert_moves_what_depends_on_it_and_nothing_else(model: Model[Never]) -> None:
    trainer = trainer_of(model, routing_replay="rollout")
    batch = sampled(trainer, model)
    assert batch.expert_ids_TLC is not None
    before = trainer.logprobs(batch, of="policy")
    at = 1  # within the prompt that the first two responses share
    corrupted = batch.expert_ids_TLC.clone()
    visited = set(corrupted[at, -1].tolist())
    corrupted[at, -1, 0] = next(expert for expert in range(5) if expert not in visited)
    moved = _moved(trainer.logprobs(replace(batch, expert_ids_TLC=corrupted), of="policy"), before)
    expected = torch.zeros_like(moved)
    # In the last layer nothing else attends to it: only the token right behind is predicted from it.
    expected[at + 1] = True
    assert moved.tolist() == expected.tolist()


def test_a_corrupted_expert_below_reaches_all_later_tokens_of_its_sequence() -> None:
    model = ROUTED["qwen3_moe"]
    trainer = trainer_of(model, routing_replay="rollout")
    batch = sampled(trainer, model)
    assert batch.expert_ids_TLC is not None
    before = trainer.logprobs(batch, of="policy")
    start, end = batch.lengths_N[0], sum(batch.lengths_N[:2])
    at = start + 6
    corrupted = batch.expert_ids_TLC.clone()
    visited = set(corrupted[at, 0].tolist())
    corrupted[at, 0, 0] = next(expert for expert in range(5) if expert not in visited)
    moved = _moved(trainer.logprobs(replace(batch, expert_ids_TLC=corrupted), of="policy"), before)
    assert moved.nonzero()[:, 0].tolist() == list(range(at + 1, end))


def _moved(after_T: Tensor, before_T: Tensor) -> Tensor:
    """Experts that get other numbers of tokens round otherwise."""
    return (after_T - before_T).abs() > 1e-5


def test_prefixes_are_shared_only_where_experts_agree(model: Model[Never]) -> None:
    """Whether sequences are trained on together or alone is no difference, though their prompts visit other experts."""
    trainer = trainer_of(model, routing_replay="rollout", packing=Packing(tokens=OFF, pad_multiple=8))
    batch = sampled(trainer, model)
    assert batch.expert_ids_TLC is not None
    other = batch.expert_ids_TLC.clone()
    other[batch.lengths_N[0]] = (other[batch.lengths_N[0]] + 1) % 5
    batch = replace(batch, expert_ids_TLC=other)
    together = trainer.logprobs(batch, of="policy")
    alone = [trainer.logprobs(select(batch, [i]), of="policy") for i in range(len(batch.lengths_N))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_gradients_reach_the_router_through_the_weights_of_given_experts(model: Model[Never]) -> None:
    trainer = trainer_of(model, routing_replay="rollout")
    batch = sampled(trainer, model)
    before = {name: tensor.clone() for name, tensor in trainer.named_weights()}
    trainer.step(batch)
    for name, tensor in trainer.named_weights():
        if name.endswith("mlp.gate.weight"):
            assert not tensor.equal(before[name]), name


def test_a_step_says_how_many_choices_would_have_been_others(model: Model[Never]) -> None:
    trainer = trainer_of(model, routing_replay="rollout")
    batch = sampled(trainer, model)
    assert batch.expert_ids_TLC is not None
    others = batch.expert_ids_TLC.clone()
    # In the last layer, at every second token: what is below stays as it was.
    others[::2, -1] = torch.where(others[::2, -1, :1] == 0, torch.tensor([1, 2]), torch.tensor([0, 3])).short()
    own = batch.expert_ids_TLC[:, -1].sort(-1).values
    differs_T = (own != others[:, -1].sort(-1).values).any(-1)
    before_T = differs_T.roll(1) * (batch.mask_T > 0)
    expected = float(before_T.sum()) / others.shape[1] / float(batch.mask_T.sum())
    found = trainer.step(replace(batch, expert_ids_TLC=others))["train/rerouted_frac"]
    assert found == pytest.approx(expected)
    assert found > 0.1


def test_a_reference_chooses_for_itself(model: Model[Never]) -> None:
    trainer = trainer_of(model, routing_replay="rollout")
    batch = sampled(trainer, model)
    chosen = trainer.logprobs(batch, of="reference")
    given = torch.zeros_like(batch.expert_ids_TLC if batch.expert_ids_TLC is not None else torch.empty(0))
    given[..., 1] = 1
    other = replace(batch, expert_ids_TLC=given)
    torch.testing.assert_close(trainer.logprobs(other, of="reference"), chosen, atol=1e-5, rtol=0)
    assert not torch.allclose(trainer.logprobs(other, of="policy"), chosen, atol=1e-2)


@pytest.mark.parametrize("replayed", ["rollout", "trainer"])
def test_what_nobody_recorded_is_not_replayed(replayed: str) -> None:
    model = ROUTED["qwen3_moe"]
    trainer = trainer_of(model, routing_replay=replayed)
    batch = sampled(trainer, model)
    assert batch.expert_ids_TLC is not None
    holes = batch.expert_ids_TLC.clone()
    holes[4] = -1
    for given in (None, holes):
        with pytest.raises(SpecError, match="RLC0770"):
            trainer.step(replace(batch, expert_ids_TLC=given))
