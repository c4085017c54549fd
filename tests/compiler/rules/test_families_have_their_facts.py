"""A model has the facts of its architecture, and what is wrong is said with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.rules._family_facts import FAMILIES, is_of
from rlc.catalogue import scan
from rlc.models import read_models
from tests.support.good_spec import Changes, codes, compiled

EXPERTS = "{ num_experts = 8, experts_per_token = 2, expert_size = 32 }"
LATENT = "{ kv_lora_rank = 16, qk_nope_dim = 24, qk_rope_dim = 8, v_head_dim = 24 }"
SIGMOID = (
    "{ num_experts = 8, experts_per_token = 2, expert_size = 32, shared_expert_size = 32, "
    'score = "sigmoid", expert_bias = true }'
)
GROUPS = EXPERTS.replace(" }", ", routed_scaling = 2.5, num_groups = 2, groups_per_token = 2 }")
NETS = (
    "{ full_attention_interval = 2, num_key_heads = 2, num_value_heads = 4, key_head_dim = 16, "
    "value_head_dim = 16, conv_kernel = 4 }"
)


def test_every_family_of_the_schema_has_its_facts_and_no_other_is_listed() -> None:
    known = {name for atom in Model.fields()["family"].kind.values for name in atom.choices}
    assert FAMILIES.keys() == known


def test_every_fact_of_the_table_is_one_of_the_schema() -> None:
    for facts in FAMILIES.values():
        for path in facts:
            name, _, key = path.partition(".")
            field = Model.fields()[name]
            assert not key or key in field.kind.records[0].fields()


def test_every_model_of_the_library_has_the_facts_of_its_family(tmp_path: Path) -> None:
    for model in read_models(scan()):
        base: Changes = {"model.name": f'"{model.label}"', "model.weights": '"random"', "rollout": None}
        assert "RLC0233" not in codes(tmp_path, base), model.name


@pytest.mark.parametrize(
    "facts",
    [
        {"model.family": '"qwen2"', "model.qk_norm": '"none"', "model.qkv_bias": "true"},
        {"model.family": '"llama"', "model.qk_norm": '"none"'},
        {"model.family": '"qwen3_moe"', "model.moe": EXPERTS},
        {
            "model.family": '"deepseek_v3"',
            "model.qk_norm": '"none"',
            "model.rope_interleaved": "true",
            "model.mla": LATENT,
            "model.moe": SIGMOID,
        },
        {"model.family": '"qwen3_5"', "model.attention_gate": "true", "model.linear_attention": NETS},
    ],
    ids=["qwen2", "llama", "qwen3_moe", "deepseek_v3", "qwen3_5"],
)
def test_a_model_with_the_facts_of_its_family_is_fine(tmp_path: Path, facts: Changes) -> None:
    assert "RLC0233" not in codes(tmp_path, facts)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"model.qk_norm": '"none"'}, 'qwen3 has qk_norm = "head", not "none"'),
        ({"model.qkv_bias": "true"}, "qwen3 has qkv_bias = false, not true"),
        ({"model.rope_fraction": "0.5"}, "qwen3 has rope_fraction = 1.0, not 0.5"),
        ({"model.moe": EXPERTS}, "qwen3 has no moe"),
        ({"model.mla": LATENT, "model.head_dim": "32"}, "qwen3 has no mla"),
        ({"model.family": '"qwen2"', "model.qk_norm": '"none"'}, "qwen2 has qkv_bias = true, not false"),
        ({"model.family": '"qwen3_moe"'}, "qwen3_moe needs moe"),
        (
            {"model.family": '"qwen3_moe"', "model.moe": GROUPS},
            "qwen3_moe has moe.routed_scaling = 1.0, not 2.5; has moe.num_groups = 1, not 2",
        ),
        (
            {"model.family": '"glm4_moe"', "model.moe": SIGMOID.replace("shared_expert_size = 32, ", "")},
            "glm4_moe needs moe.shared_expert_size",
        ),
        (
            {"model.family": '"minimax_m2"', "model.moe": EXPERTS},
            'minimax_m2 has qk_norm = "whole" or "none", not "head"; has moe.score = "sigmoid", not "softmax"; '
            "has moe.expert_bias = true, not false",
        ),
    ],
)
def test_a_fact_of_another_family_is_told_with_both_values(tmp_path: Path, facts: Changes, message: str) -> None:
    found = [d for d in compiled(tmp_path, facts).diagnostics if d.code == "RLC0233"]
    assert [d.message for d in found] == [message]


def test_the_ways_out_are_the_familys_own_facts_or_a_family_that_has_these(tmp_path: Path) -> None:
    facts: Changes = {"model.family": '"glm4"', "model.qk_norm": '"none"', "model.qkv_bias": "true"}
    (found,) = [d for d in compiled(tmp_path, facts).diagnostics if d.code == "RLC0233"]
    assert [way.sets for way in found.help] == [
        (("model.post_norms", "true"), ("model.rope_interleaved", "true")),
        (("model.family", '"qwen2"'),),
        (("model.family", '"mimo"'),),
    ]


def test_off_is_no_value_of_a_table_that_is_needed() -> None:
    assert not is_of(OFF, ("on",))
    assert is_of(3, ("on",))
    assert is_of(OFF, (OFF,))
