"""The forecast: bytes against closed forms; parameters are counted against a real model beside this file."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.plan import Forecast, Plan
from compiler.ir.rollout import Rollout
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from tests.support.good_spec import GPU, GRPO, SFT, Changes, compiled

UNEQUAL: Changes = {
    "model.num_layers": "3",
    "model.hidden_size": "40",
    "model.intermediate_size": "56",
    "model.num_heads": "6",
    "model.num_kv_heads": "2",
    "model.head_dim": "16",
    "model.vocab_size": "101",
}


def plan_of(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> Plan:
    plan = compiled(folder, changes, base=base).plan
    assert plan is not None
    return plan


def forecast_of(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> Forecast:
    return plan_of(folder, changes, base=base).forecast


def test_bytes_follow_from_parameters(tmp_path: Path) -> None:
    found = forecast_of(tmp_path, {"loss.kl.estimator": '"k3"'})
    four = 4 * found.parameters
    assert (found.weight_bytes, found.gradient_bytes, found.optimizer_bytes) == (four, four, 2 * four)
    assert (found.reference_bytes, found.engine_weight_bytes) == (four, four)


def test_what_a_stage_does_not_have_takes_no_memory(tmp_path: Path) -> None:
    found = forecast_of(tmp_path, {}, base=SFT)
    assert (found.reference_bytes, found.engine_weight_bytes, found.stages[0].kv_cache_bytes) == (0, 0, 0)


@pytest.mark.parametrize(
    ("optim", "moments"),
    [({"optim.name": '"sgd"'}, 0), ({"optim.name": '"sgd"', "optim.momentum": "0.9"}, 1), ({}, 2)],
)
def test_optimizer_state_is_that_of_the_update_rule(tmp_path: Path, optim: Changes, moments: int) -> None:
    base = {k: v for k, v in SFT.items() if k != "use"} | {"algo.name": '"sft"', "optim.lr": "0.1"}
    found = forecast_of(tmp_path, optim, base=base)
    assert found.optimizer_bytes == moments * 4 * found.parameters


def test_a_reward_model_has_no_head_over_the_vocabulary(tmp_path: Path) -> None:
    untied = {**UNEQUAL, "model.tie_embeddings": "false"}
    policy, scorer = (
        forecast_of(tmp_path, {**untied, "use": f'["//recipes:{recipe}"]'}, base=SFT)
        for recipe in ("sft", "reward_model_bt")
    )
    head = 101 * 40
    assert policy.weight_bytes - scorer.weight_bytes == 4 * head
    assert policy.optimizer_bytes - scorer.optimizer_bytes == 8 * head


def test_a_critic_has_no_head_over_the_vocabulary(tmp_path: Path) -> None:
    untied = {**UNEQUAL, "model.tie_embeddings": "false", "use": '["//recipes:ppo"]', "run.max_steps": "20"}
    found = forecast_of(tmp_path, untied)
    assert found.critic_bytes == 16 * (found.parameters - 101 * 40)


def test_the_most_demanding_stage_decides_about_optimizer_state(tmp_path: Path) -> None:
    base = {k: v for k, v in SFT.items() if k != "use"} | {"algo.name": '"sft"', "optim.lr": "0.1"}
    stages = '[{ name = "a", optim.name = "sgd" }, { name = "b", optim.name = "adamw" }]'
    found = forecast_of(tmp_path, {"stages": stages}, base=base)
    assert found.optimizer_bytes == 2 * 4 * found.parameters


def test_keys_and_values_of_all_sequences_at_their_longest(tmp_path: Path) -> None:
    changes: Changes = {**UNEQUAL, "rollout.concurrency": "5", "rollout.max_context_tokens": "70"}
    plan = plan_of(tmp_path, changes)
    per_token = 2 * 3 * 2 * 16 * 4  # keys and values, layers, heads, channels, bytes
    assert kv_bytes_per_token(plan.experiment.model) == per_token
    assert plan.forecast.stages[0].kv_cache_bytes == 5 * 70 * per_token
    assert plan.forecast.stages[0].max_sampled_tokens == plan.experiment.stages[0].budget.max_sampled_tokens


def test_on_gpus_it_is_what_one_of_them_holds(tmp_path: Path) -> None:
    """Mixed precision: two bytes of a weight and of its gradient, twelve of optimizer state, divided among the copies.

    The shape of the published 4B model: 36 layers, 8 key heads of 128 channels; two GPUs share its weights, and its
    heads where it generates.
    """
    changes: Changes = {"parallel.tp": "2", "placement.gpus_per_engine": "2", "loss.kl.estimator": '"k3"'}
    plan = plan_of(tmp_path, {**changes, "rollout.concurrency": "64"}, base=GPU)
    found, held = plan.forecast, plan.forecast.parameters // 2
    assert (found.weight_bytes, found.gradient_bytes, found.optimizer_bytes) == (2 * held, 2 * held, held // 4 * 12)
    assert (found.reference_bytes, found.engine_weight_bytes) == (2 * held, 2 * held)
    rollout = plan.experiment.stages[0].rollout
    assert isinstance(rollout, Rollout)
    assert found.stages[0].kv_cache_bytes == 64 * rollout.max_context_tokens * 2 * 36 * 4 * 128 * 2


def test_layers_for_further_tokens_count_where_they_are_trained(tmp_path: Path) -> None:
    experts: Changes = {
        "model.family": '"glm4_moe"',
        "model.num_mtp_layers": "1",
        "model.moe": "{ num_experts = 4, experts_per_token = 2, expert_size = 32, shared_expert_size = 32, "
        'score = "sigmoid", expert_bias = true }',
        "loss.kl.estimator": '"k3"',
    }
    without, found = forecast_of(tmp_path, experts), forecast_of(tmp_path, {**experts, "train.mtp.loss_coef": "0.1"})
    model = plan_of(tmp_path, experts).experiment.model
    shallow = plan_of(tmp_path, {**experts, "model.num_layers": str(model.num_layers + 1)}).forecast
    more = 4 * (shallow.parameters - without.parameters + 2 * model.hidden_size**2 + 3 * model.hidden_size)
    assert more > 0
    assert found.parameters == without.parameters
    assert found.weight_bytes - without.weight_bytes == more
    assert found.gradient_bytes - without.gradient_bytes == more
    assert found.optimizer_bytes - without.optimizer_bytes == 2 * more
    assert found.engine_weight_bytes - without.engine_weight_bytes == more
    assert found.reference_bytes == without.reference_bytes
