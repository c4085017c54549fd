"""The native forward against Hugging Face's, for facts that no family of the CPU target has switched on yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Never

import pytest
import torch

from compiler.ir.model import Model
from runtime.engines.architecture import Architecture, Experts, RopeScaling, architecture
from runtime.engines.rollout.native.models.decoder import Decoder
from tests.runtime.engines.tiny_trainer import hf_model, tiny_families
from tests.support.tiny_model import VOCAB

pytestmark = pytest.mark.torch

SCALING = RopeScaling(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_tokens=16)
EXPERTS = Experts(num_experts=5, experts_per_token=2, expert_size=24, normalize_weights=True)


def logit_gap(model: Model[Never], facts: Architecture) -> float:
    """Return the largest difference of logits after each prefix of 60 tokens."""
    reference, decoder = hf_model(model, facts=facts), Decoder(model, facts, num_positions=64)
    given = dict(reference.named_parameters())
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


def test_so_much_of_a_head_turns_as_the_plan_says() -> None:
    model = tiny_families()["glm4"].replacing(rope_fraction=0.25)
    assert logit_gap(model, architecture(model)) < 1e-5


@pytest.mark.parametrize("normalize_weights", [True, False])
def test_routed_experts_are_those_of_qwen3_moe(normalize_weights: bool) -> None:
    experts = replace(EXPERTS, normalize_weights=normalize_weights)
    model = tiny_families()["qwen3_moe"]
    assert logit_gap(model, Architecture(qk_norm=True, experts=experts)) < 1e-5
