"""Critics and reward models learn, on every layout, what they learn in one process."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.algorithm import Algo, Critic
from compiler.ir.loss import ScoreLoss
from compiler.ir.model import Model, Moe
from runtime.engines.train.critic import TorchCritic
from runtime.engines.train.reward_model import TorchRewardModel
from stdlib.algorithms import ppo, reward_model
from tests.engines.megatron.on_ranks import Case
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.test_torch_critic import with_targets
from tests.runtime.engines.test_torch_reward_model import batch_of_answers
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.L2

PLAIN, UNTIED = tiny_model(num_layers=4), tiny_model(tie_embeddings=False)
EXPERTS = tiny_model(family="qwen3_moe", moe=Moe(num_experts=6, experts_per_token=2, expert_size=24))
LAYOUTS: dict[str, tuple[Model[Never], int, Changes]] = {
    "dp2": (UNTIED, 2, {}),
    "tp2": (PLAIN, 2, {"parallel.tp": "2", "parallel.sp": "false"}),
    "tp2 sp": (UNTIED, 2, {"parallel.tp": "2", "parallel.sp": "true"}),
    "pp2 vpp2": (PLAIN, 2, {"parallel.pp": "2", "parallel.vpp": "2"}),
    "cp2": (PLAIN, 2, {"parallel.cp": "2"}),
    "tp2 sp pp2 ep2": (EXPERTS, 4, {"parallel.tp": "2", "parallel.pp": "2", "parallel.ep": "2"}),
}
CRITIC = Critic(lr=0.05)
Role = Literal["critic", "reward_model"]


class Learnt(NamedTuple):
    """What is said after two steps: numbers, metrics of the last one, and the state."""

    numbers: Tensor
    metrics: Mapping[str, float]
    state: Mapping[str, Tensor]


def criticised(critic: Any) -> Learnt:
    batch = with_targets(critic, grouped_batch())
    metrics = [dict(critic.step(batch)) for _ in range(2)][-1]
    return Learnt(critic.values(batch), metrics, critic.state())


def judged(scorer: Any) -> Learnt:
    metrics = [dict(scorer.step(batch_of_answers())) for _ in range(2)][-1]
    return Learnt(scorer.scores(batch_of_answers()), metrics, scorer.state())


def learnt_alone(case: Case, role: Role) -> Learnt:
    if role == "critic":
        return criticised(TorchCritic(case.spec, CRITIC, ppo, case.weights))
    return judged(TorchRewardModel(case.spec, reward_model, case.weights))


def learnt_on_rank(case: Case, role: Role, start: Mapping[str, Tensor] | None) -> Learnt:
    import_module("tests.support.megatron_cpu")
    import_module("megatron.core.parallel_state").destroy_model_parallel()
    module: Any = import_module(f"runtime.engines.train.megatron.{role}")
    launch = case.launch
    if role == "critic":
        made = module.MegatronCritic(case.spec, launch.parallel, CRITIC, ppo, case.weights, records=launch.records)
    else:
        made = module.MegatronRewardModel(
            case.spec, launch.parallel, reward_model, case.weights, records=launch.records
        )
    if start is not None:
        made.load_state(start)
        return Learnt(made.values(grouped_batch()), {}, made.state())
    return criticised(made) if role == "critic" else judged(made)


def case_of(folder: Path, model: Model[Never], changes: Changes, *, num_ranks: int, role: Role) -> Case:
    scored: Any = reward_model.Params(algo=Algo(name="reward_model"), loss=ScoreLoss(kind="bradley_terry"))
    return Case(
        launch=launch_of(folder, model, changes, num_ranks=num_ranks),
        params=policy_params() if role == "critic" else scored,
        weights=tiny_weights(model),
        batches=[],
    )


@pytest.mark.parametrize("role", ["critic", "reward_model"])
@pytest.mark.parametrize(("model", "num_ranks", "changes"), LAYOUTS.values(), ids=list(LAYOUTS))
def test_a_head_of_one_number_learns_as_in_one_process(
    tmp_path: Path, megatron_ranks: RunRanks, model: Model[Never], num_ranks: int, changes: Changes, role: Role
) -> None:
    case = case_of(tmp_path, model, changes, num_ranks=num_ranks, role=role)
    expected = learnt_alone(case, role)
    assert float(expected.numbers.abs().max()) > 1e-3
    every = megatron_ranks(num_ranks, learnt_on_rank, case, role, None)
    for found in every:
        torch.testing.assert_close(found.numbers, expected.numbers, atol=1e-5, rtol=1e-5)
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-5, abs=1e-6)
    assert every[0].state.keys() == expected.state.keys()
    for name, tensor in expected.state.items():
        torch.testing.assert_close(every[0].state[name], tensor, atol=2e-6, rtol=0)


def test_a_critic_goes_on_on_another_layout(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    whole = learnt_alone(case_of(tmp_path, EXPERTS, {}, num_ranks=1, role="critic"), "critic")
    case = case_of(tmp_path, EXPERTS, {"parallel.pp": "2"}, num_ranks=2, role="critic")
    found = megatron_ranks(2, learnt_on_rank, case, "critic", whole.state)[0]
    torch.testing.assert_close(found.numbers, whole.numbers, atol=1e-5, rtol=0)
    assert all(tensor.equal(whole.state[name]) for name, tensor in found.state.items())
