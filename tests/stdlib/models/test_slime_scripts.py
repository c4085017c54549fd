"""The library against slime's scripts/models at 624b824, fact by fact, as slime_scripts.csv has them.

A cell is empty where a script says nothing.  Departures: docs/decisions/0011-model-facts-follow-checkpoints.md.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.paths import read
from tests.stdlib.models.library import NAMES, facts_of

ROWS = {
    row["script"]: row
    for row in csv.DictReader((Path(__file__).parent / "slime_scripts.csv").read_text(encoding="utf-8").splitlines())
}
# What a script has, and what the checkpoint and the library have.
DEPARTURES = {
    "glm4-32B": {"num_layers": (64, 61), "num_kv_heads": (8, 2)},
    "glm4.7-30B-A3B": {"qkv_bias": (True, False)},
    "qwen2.5-1.5B": {"rope_base": (10_000, 1_000_000)},
}
# Columns that are no field of [model] itself.
_EXPERTS = ("num_experts", "experts_per_token", "expert_size", "shared_expert_size", "shared_expert_gate")
_EXPERTS += ("num_dense_layers", "score", "expert_bias", "routed_scaling")
_LATENT = ("q_lora_rank", "kv_lora_rank", "qk_nope_dim", "qk_rope_dim", "v_head_dim")


def value_of(cell: str) -> object:
    """A cell as the value that it means."""
    if cell in ("yes", "no"):
        return cell == "yes"
    try:
        return float(cell)
    except ValueError:
        return cell


def library_value(model: Model[object], column: str) -> object:
    """What the library has in a column."""
    if column == "qk_norm":
        # Latent attention norms its compressed vectors, which Megatron asks for by the same flag.
        return model.qk_norm != "none" or not isinstance(model.mla, Off)
    if column == "yarn_factor":
        return read(model, "rope_scaling.factor")
    if column == "groups":
        return f"{read(model, 'moe.num_groups')}/{read(model, 'moe.groups_per_token')}"
    if column == "latent":
        dims = [read(model, f"mla.{name}") for name in _LATENT]
        return "/".join("none" if dim is OFF else str(dim) for dim in dims)
    return read(model, f"moe.{column}" if column in _EXPERTS else column)


def test_the_scripts_are_all_here() -> None:
    assert len(ROWS) == 39
    assert [row["model"] for row in ROWS.values() if row["model"] not in NAMES] == []


@pytest.mark.parametrize("script", ROWS)
def test_the_library_has_what_a_script_says(script: str) -> None:
    row = ROWS[script]
    model = facts_of(row["model"])
    said = {name: value_of(cell) for name, cell in row.items() if cell and name not in ("script", "model")}
    different = {
        name: (value, library_value(model, name)) for name, value in said.items() if library_value(model, name) != value
    }
    assert different == DEPARTURES.get(script, {})
    # What a script leaves out, a model does not have.
    assert (row["num_experts"] == "") == isinstance(model.moe, Off)
    assert (row["latent"] == "") == isinstance(model.mla, Off)
    if not isinstance(model.moe, Off):
        assert (row["shared_expert_size"] == "") == isinstance(model.moe.shared_expert_size, Off)


def test_the_script_of_qwen2_5_1_5b_describes_the_math_checkpoint() -> None:
    row = ROWS["qwen2.5-1.5B"]
    said = {name: value_of(cell) for name, cell in row.items() if cell and name not in ("script", "model")}
    model = facts_of("qwen2_5_math_1_5b")
    assert {name: library_value(model, name) for name in said} == said
