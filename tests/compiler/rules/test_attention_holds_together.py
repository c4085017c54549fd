"""RLC0318 (PAR-02): widths, positions and layers of attention fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

MLA = "{{ kv_lora_rank = 16, qk_nope_dim = {plain}, qk_rope_dim = {turning}, v_head_dim = 24 }}"
DELTA = (
    "{{ full_attention_interval = {every}, num_key_heads = {keys}, num_value_heads = {values}, "
    "key_head_dim = 8, value_head_dim = 8, conv_kernel = 4 }}"
)


def told(folder: Path, changes: Changes) -> list[str]:
    """What this rule says; what an architecture needs beside, and what the CPU computes, is said by others."""
    return [code for code in codes(folder, changes) if code == "RLC0318"]


@pytest.mark.parametrize(("fraction", "found"), [("0.25", []), ("0.3125", []), ("0.3", ["RLC0318"])])
def test_a_whole_number_of_rotary_pairs(tmp_path: Path, fraction: str, found: list[str]) -> None:
    assert told(tmp_path, {"model.rope_fraction": fraction}) == found


@pytest.mark.parametrize(
    ("kind", "factor", "found"),
    [("llama3", "2", []), ("yarn", "4", []), ("yarn", "3.5", ["RLC0318"])],
)
def test_positions_stretched_as_far_as_the_model_is_said_to_go(
    tmp_path: Path, kind: str, factor: str, found: list[str]
) -> None:
    scaling = f'{{ kind = "{kind}", factor = {factor}, original_max_position_tokens = 128 }}'
    assert told(tmp_path, {"model.max_position_tokens": "512", "model.rope_scaling": scaling}) == found


@pytest.mark.parametrize(
    ("plain", "turning", "found"),
    [(24, 8, []), (16, 16, []), (16, 8, ["RLC0318"]), (25, 7, ["RLC0318"])],
)
def test_a_latent_head_is_its_two_parts(tmp_path: Path, plain: int, turning: int, found: list[str]) -> None:
    mla = MLA.format(plain=plain, turning=turning)
    changes = {"model.family": '"deepseek_v3"', "model.mla": mla, "model.num_kv_heads": "4"}
    assert told(tmp_path, {**changes}) == found


@pytest.mark.parametrize(("heads", "found"), [("4", []), ("2", ["RLC0318"]), ("1", ["RLC0318"])])
def test_a_latent_head_has_keys_and_values_of_its_own(tmp_path: Path, heads: str, found: list[str]) -> None:
    changes = {"model.family": '"deepseek_v3"', "model.mla": MLA.format(plain=24, turning=8)}
    assert told(tmp_path, {**changes, "model.num_kv_heads": heads}) == found


@pytest.mark.parametrize(
    ("base", "kind", "found"), [("1", "yarn", ["RLC0318"]), ("1", "llama3", []), ("2", "yarn", [])]
)
def test_yarn_needs_waves_of_several_lengths(tmp_path: Path, base: str, kind: str, found: list[str]) -> None:
    scaling = f'{{ kind = "{kind}", factor = 4, original_max_position_tokens = 128 }}'
    assert told(tmp_path, {"model.rope_base": base, "model.rope_scaling": scaling}) == found


@pytest.mark.parametrize(
    ("every", "keys", "values", "found"),
    [(2, 2, 4, []), (2, 2, 2, []), (2, 4, 6, ["RLC0318"]), (3, 2, 4, ["RLC0318"])],
)
def test_delta_nets_share_their_keys_and_leave_a_layer_of_full_attention(
    tmp_path: Path, every: int, keys: int, values: int, found: list[str]
) -> None:
    delta = DELTA.format(every=every, keys=keys, values=values)
    changes = {"model.family": '"qwen3_5"', "model.linear_attention": delta}
    assert told(tmp_path, {**changes}) == found


@pytest.mark.parametrize(("leading", "found"), [(1, []), (2, []), (3, ["RLC0318"])])
def test_the_leading_layers_of_an_indexer_are_there(tmp_path: Path, leading: int, found: list[str]) -> None:
    indexer = f"{{ num_heads = 2, head_dim = 8, tokens = 64, leading_layers = {leading} }}"
    mla = MLA.format(plain=24, turning=8)
    changes = {"model.family": '"glm_moe_dsa"', "model.num_kv_heads": "4", "model.mla": mla, "model.indexer": indexer}
    assert told(tmp_path, {**changes}) == found
