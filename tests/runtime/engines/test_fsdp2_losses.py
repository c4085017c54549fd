"""Every loss on the FSDP2 trainer, its critic and its reward model, against what one process computes."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.algorithm import Algo, Critic
from compiler.ir.loss import ScoreLoss
from compiler.ir.machine import Parallel
from compiler.ir.openness import OFF
from compiler.ir.training import MultiTokenPrediction, Packing
from runtime.engines.train.critic import TorchCritic
from runtime.engines.train.fsdp2 import Fsdp2Critic, Fsdp2RewardModel, Fsdp2Trainer
from runtime.engines.train.reward_model import TorchRewardModel
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from stdlib.algorithms import distillation, grpo, ppo, reward_model
from tests.runtime.engines.test_every_algorithm_is_packed import batch_of
from tests.runtime.engines.test_further_tokens import FAMILIES as PREDICTING
from tests.runtime.engines.test_further_tokens import weights_of as predicting_weights
from tests.runtime.engines.test_torch_critic import with_targets
from tests.runtime.engines.test_torch_reward_model import batch_of_answers
from tests.runtime.engines.test_torch_trainer_teacher import params as taught_by
from tests.runtime.engines.test_torch_trainer_teacher import teacher_weights
from tests.runtime.engines.tiny_ranks import layout, on_ranks, spec_with
from tests.runtime.engines.tiny_trainer import grouped_batch, tiny_optim, tiny_weights
from tests.stdlib.algorithms.cases import CASES, params_of
from tests.support.ranks import RanksFailedError, RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

DESCENT = tiny_optim(name="sgd", lr=0.1, clip_grad_norm=OFF)
SPLITS: list[dict[str, Any]] = [{"dp": 2}, {"tp": 2, "sp": True}, {"cp": 2}]
Found = tuple[dict[str, float], dict[str, Tensor], Tensor]


def close(found: Found, expected: Found) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5, abs=1e-6)
    for name, tensor in expected[1].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-5, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(found[2], expected[2], rtol=1e-5, atol=1e-5)


def learnt(trainer: TorchTrainer, name: str) -> Found:
    metrics = dict(trainer.step(batch_of(name)))
    weights = {weight: tensor.clone() for weight, tensor in trainer.named_weights()}
    return metrics, weights, trainer.logprobs(batch_of(name), of="policy")


def learnt_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never], name: str) -> Found:
    algorithm: Any = import_module(f"stdlib.algorithms.{name}")
    return learnt(Fsdp2Trainer(spec, parallel, algorithm, tiny_weights(spec.model)), name)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].teacher is None])
def test_an_algorithm_sees_whole_sequences(name: str, run_ranks: RunRanks) -> None:
    spec = spec_with(params=params_of(name, "sequence"), optim=DESCENT, train={"packing": Packing(tokens=120)})
    algorithm: Any = import_module(f"stdlib.algorithms.{name}")
    found = on_ranks(run_ranks, spec, layout(cp=2, dp=2), learnt_on_a_rank, name)[0]
    close(found, learnt(TorchTrainer(spec, algorithm, tiny_weights(spec.model)), name))


def taught(trainer: TorchTrainer) -> Found:
    batch = replace(grouped_batch(), compared_T=grouped_batch().mask_T)
    metrics = dict(trainer.step(batch))
    weights = {weight: tensor.clone() for weight, tensor in trainer.named_weights()}
    return metrics, weights, trainer.logprobs(batch, of="teacher")


def taught_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never]) -> Found:
    return taught(Fsdp2Trainer(spec, parallel, distillation, tiny_weights(spec.model), teacher_weights()))


@pytest.mark.parametrize("sizes", [{"dp": 2}, {"tp": 3, "sp": True}, {"cp": 2}], ids=str)
@pytest.mark.parametrize("vocabulary", ["full", "topk"])
def test_a_teacher_is_spread_as_well(vocabulary: str, sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    facts = {"num_heads": 6, "num_kv_heads": 3} if "tp" in sizes else {}
    further = {"topk": 7, "outside_topk": "zero"} if vocabulary == "topk" else {}
    params = taught_by(divergence="mixed", forward_weight=0.3, vocabulary=vocabulary, **further)
    spec = spec_with(model=tiny_model(**facts), params=params, optim=DESCENT, train={"vocab_chunk": 10})
    found = on_ranks(run_ranks, spec, layout(**sizes), taught_on_a_rank)[0]
    close(found, taught(TorchTrainer(spec, distillation, tiny_weights(spec.model), teacher_weights())))


def criticised(critic: TorchCritic) -> Found:
    batch = with_targets(critic, grouped_batch())
    metrics = [dict(critic.step(batch)) for _ in range(2)][-1]
    return metrics, {n: t for n, t in critic.state().items() if n.startswith("critic.")}, critic.values(batch)


def criticised_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never]) -> Found:
    return criticised(Fsdp2Critic(spec, parallel, Critic(lr=0.1), ppo, tiny_weights(spec.model)))


@pytest.mark.parametrize("sizes", SPLITS, ids=str)
def test_a_critic_learns_the_same(sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    spec = spec_with(optim=DESCENT)
    found = on_ranks(run_ranks, spec, layout(**sizes), criticised_on_a_rank)[0]
    close(found, criticised(TorchCritic(spec, Critic(lr=0.1), ppo, tiny_weights(spec.model))))


def judged(scorer: TorchRewardModel) -> Found:
    metrics = [dict(scorer.step(batch_of_answers())) for _ in range(2)][-1]
    weights = {name: tensor.clone() for name, tensor in scorer.named_weights()}
    return metrics, weights, scorer.scores(batch_of_answers())


def judged_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never]) -> Found:
    return judged(Fsdp2RewardModel(spec, parallel, reward_model, tiny_weights(spec.model)))


@pytest.mark.parametrize("sizes", [*SPLITS, {"dp": 4}], ids=str)
def test_a_reward_model_learns_the_same(sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    params: Any = reward_model.Params(algo=Algo(name="reward_model"), loss=ScoreLoss(kind="bradley_terry"))
    spec = spec_with(params=params, optim=DESCENT)
    found = on_ranks(run_ranks, spec, layout(**sizes), judged_on_a_rank)[0]
    close(found, judged(TorchRewardModel(spec, reward_model, tiny_weights(spec.model))))


def predicted_on_a_rank(spec: TrainerSpec, parallel: Parallel[Never]) -> Found:
    return learnt(Fsdp2Trainer(spec, parallel, grpo, predicting_weights(spec.model)), "grpo")


def predicting_spec() -> TrainerSpec:
    train = {"mtp": MultiTokenPrediction(trains_trunk=True), "micro_batch": 5}
    return spec_with(model=PREDICTING["deepseek_v3"], optim=DESCENT, train=train)


def test_further_tokens_are_learnt_by_data_parallel_ranks(run_ranks: RunRanks) -> None:
    spec = predicting_spec()
    found = on_ranks(run_ranks, spec, layout(dp=2), predicted_on_a_rank)[0]
    close(found, learnt(TorchTrainer(spec, grpo, predicting_weights(spec.model)), "grpo"))


def test_layers_for_further_tokens_are_not_split(run_ranks: RunRanks) -> None:
    with pytest.raises(RanksFailedError, match=r"parallel.cp = 2"):
        on_ranks(run_ranks, predicting_spec(), layout(cp=2), predicted_on_a_rank)
