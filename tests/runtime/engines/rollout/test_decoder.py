"""The native forward against Hugging Face's, for facts that no family of the CPU target has switched on yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Never

import pytest
import torch

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, Experts, RopeScaling, Yarn, architecture
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.train.hf_model import held_weights
from tests.runtime.engines.tiny_trainer import hf_model, tiny_families
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

SCALING = RopeScaling(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_tokens=16)
YARN = Yarn(
    factor=4.0, original_max_position_tokens=16, beta_fast=32.0, beta_slow=1.0, mscale=None, mscale_all_dim=None
)
EXPERTS = Experts(num_experts=5, experts_per_token=2, expert_size=24, normalize_weights=True)


def logit_gap(model: Model[Never], facts: Architecture) -> float:
    """Return the largest difference of logits after each prefix of 60 tokens."""
    reference, decoder = hf_model(model, facts=facts), Decoder(model, facts, num_positions=64)
    given = held_weights(reference)
    with torch.no_grad():
        weights = list(decoder.weights())
        assert [(w.name, w.shape) for w in weights] == [(name, tuple(p.shape)) for name, p in given.items()]
        for weight in weights:
            weight.load(given[weight.name])
            assert weight.value().equal(given[weight.name])
        tokens = torch.tensor([(7 * i + i * i) % VOCAB for i in range(60)])
        prefixes = tokens.repeat(60, 1)
        _, found = decoder.prefill(prefixes, torch.arange(60))
        return float((found - reference(input_ids=tokens[None]).logits[0]).abs().max())


@pytest.mark.parametrize("model", tiny_families().values(), ids=list(tiny_families()))
def test_each_family_has_the_logits_of_hugging_face(model: Model[Never]) -> None:
    assert logit_gap(model, architecture(model)) < 1e-5


@pytest.mark.parametrize("model", tiny_families().values(), ids=list(tiny_families()))
def test_llama_3s_rule_slows_long_waves_of_every_family(model: Model[Never]) -> None:
    assert logit_gap(model, replace(architecture(model), rope_scaling=SCALING)) < 1e-5


def test_biases_of_a_family_that_may_have_them_are_the_plans() -> None:
    model = tiny_families()["glm4"].replacing(qkv_bias=False)
    assert not architecture(model).qkv_bias
    assert logit_gap(model, architecture(model)) < 1e-5


@pytest.mark.parametrize("fraction", [0.25, 1.0])
def test_so_much_of_a_head_turns_as_the_plan_says(fraction: float) -> None:
    model = tiny_families()["glm4"].replacing(rope_fraction=fraction)
    assert logit_gap(model, architecture(model)) < 1e-5


@pytest.mark.parametrize("normalize_weights", [True, False])
def test_routed_experts_are_those_of_qwen3_moe(normalize_weights: bool) -> None:
    experts = replace(EXPERTS, normalize_weights=normalize_weights)
    model = tiny_families()["qwen3_moe"]
    assert logit_gap(model, Architecture(qk_norm=True, experts=experts)) < 1e-5


@pytest.mark.parametrize(
    "facts",
    [
        {"qk_norm": False},
        {"rope_fraction": 0.75},
        {"rope_fraction": 1.0},
        {"normalize_weights": False},
        {"num_groups": 1, "groups_per_token": 1},
        {"num_dense_layers": 0, "shared_expert_size": 24},
    ],
    ids=str,
)
def test_routed_experts_with_a_shared_one_are_those_of_glm_4_5(facts: dict[str, Any]) -> None:
    model = tiny_families()["glm4_moe"]
    whole = architecture(model)
    assert whole.experts is not None
    own = {name: value for name, value in facts.items() if hasattr(whole, name)}
    experts = replace(whole.experts, **{name: value for name, value in facts.items() if name not in own})
    assert logit_gap(model, replace(whole, **own, experts=experts)) < 1e-5


@pytest.mark.parametrize(
    "facts",
    [
        {"query_rank": 0},
        {"rank": 7, "query_rank": 5},
        {"value_dim": 30},
        {"rope_interleaved": False},
        {"rope_interleaved": False, "query_rank": 0},
        {"rope_scaling": None},
        {"rope_scaling": SCALING},
        {"rope_scaling": YARN},
        {"rope_scaling": replace(YARN, beta_fast=2.0, beta_slow=0.5)},
        {"rope_scaling": replace(YARN, mscale_all_dim=0.7)},
    ],
    ids=str,
)
def test_latent_attention_is_that_of_deepseek_v3(facts: dict[str, Any]) -> None:
    model = tiny_families()["deepseek_v3"]
    whole = architecture(model)
    assert whole.latent is not None
    own = {name: value for name, value in facts.items() if hasattr(whole, name)}
    latent = replace(whole.latent, **{name: value for name, value in facts.items() if name not in own})
    assert logit_gap(model, replace(whole, **own, latent=latent)) < 2e-5


def test_what_is_cached_of_a_token_is_one_vector_for_all_heads() -> None:
    model = tiny_families()["deepseek_v3"]
    kept, _ = Decoder(model, architecture(model), num_positions=8).prefill(torch.tensor([[1, 2, 3]]), torch.tensor([2]))
    assert kept.shape == (model.num_layers, 1, 1, 3, 18 + 8)


@pytest.mark.parametrize("model", tiny_families().values(), ids=list(tiny_families()))
def test_yarn_stretches_the_positions_of_every_family(model: Model[Never]) -> None:
    assert logit_gap(model, replace(architecture(model), rope_scaling=YARN)) < 2e-5


def test_leading_layers_of_qwen3_moe_may_be_without_experts() -> None:
    model = tiny_families()["qwen3_moe"]
    assert logit_gap(model, Architecture(qk_norm=True, experts=replace(EXPERTS, num_dense_layers=1))) < 1e-5
