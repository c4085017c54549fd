"""RLC0507 (PAR-02): what an axis splits comes out even."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, MOE, Changes, codes

FACTS: Changes = {"model.num_layers": "12", "model.num_heads": "24", "model.num_kv_heads": "4"}


def refused(folder: Path, changes: Changes, *, base: dict[str, str] = GPU) -> bool:
    why: Changes = {
        "model.overrides": "[" + ", ".join(f'{{ fact = "{k.partition(".")[2]}", why = "x" }}' for k in FACTS) + "]"
    }
    return "RLC0507" in codes(folder, {**FACTS, **why, **changes}, base=base)


@pytest.mark.parametrize("tp", ["1", "2", "4", "8", "12", "24"])
def test_a_divisor_of_the_query_heads_is_fine_where_it_shares_the_others(tmp_path: Path, tp: str) -> None:
    assert not refused(tmp_path, {"cluster.nodes": "3", "parallel.tp": tp})


@pytest.mark.parametrize("tp", ["3", "6", "16", "5"])
def test_one_that_leaves_heads_over_or_cannot_copy_them_is_refused(tmp_path: Path, tp: str) -> None:
    assert refused(tmp_path, {"cluster.nodes": "30", "parallel.tp": tp})


def test_a_rollout_engine_splits_heads_as_well(tmp_path: Path) -> None:
    assert not refused(tmp_path, {"placement.gpus_per_engine": "8"})
    heads: Changes = {"model.num_heads": "20", "model.num_kv_heads": "4"}
    assert refused(tmp_path, {**heads, "placement.gpus_per_engine": "8"})


@pytest.mark.parametrize(
    ("axes", "fits"),
    [
        ({"pp": "4"}, True),
        ({"pp": "8"}, False),
        ({"pp": "2", "vpp": "3"}, True),
        ({"pp": "2", "vpp": "4"}, False),
        ({"vpp": "2"}, False),
        ({"pp": "8", "pp_last_layers": "5"}, True),  # seven stages of one layer, and five
        ({"pp": "8", "pp_last_layers": "4"}, False),
        ({"pp": "2", "pp_first_layers": "5", "pp_last_layers": "7"}, True),
        ({"pp": "2", "pp_first_layers": "5", "pp_last_layers": "6"}, False),
        ({"pp_last_layers": "4"}, False),  # no pipeline, and so no end of one
        ({"pp": "4", "pp_first_layers": "8", "pp_last_layers": "8"}, False),
        ({"tp": "2", "sp": "true"}, True),
        ({"sp": "true"}, False),
    ],
)
def test_layers_come_out_even_over_stages_and_groups(tmp_path: Path, axes: dict[str, str], fits: bool) -> None:
    assert refused(tmp_path, {f"parallel.{name}": size for name, size in axes.items()}) != fits


def test_experts_come_out_even_and_a_model_without_them_splits_none(tmp_path: Path) -> None:
    whole: Changes = {"model.num_heads": None, "model.num_kv_heads": None, "model.num_layers": None}
    plain: Changes = {**whole, "model.overrides": None}
    assert not refused(tmp_path, {**plain, "parallel.ep": "8"}, base=MOE)
    assert refused(tmp_path, {**plain, "cluster.nodes": "3", "parallel.ep": "3"}, base=MOE)  # 128 experts
    assert refused(tmp_path, {**plain, "parallel.ep": "2"})
    assert refused(tmp_path, {**plain, "parallel.etp": "2"})


@pytest.mark.parametrize(("engine", "tp", "splits"), [("megatron", 16, True), ("fsdp2", 16, False), ("fsdp2", 8, True)])
def test_heads_are_copied_by_engines_that_can(tmp_path: Path, engine: str, tp: int, splits: bool) -> None:
    changes: Changes = {"cluster.nodes": "2", "train.engine.name": f'"{engine}"', "parallel.tp": str(tp)}
    assert codes(tmp_path, changes, base=GPU) == ([] if splits else ["RLC0507"])


def test_fsdp2_cuts_experts_as_it_cuts_other_layers(tmp_path: Path) -> None:
    shards: Changes = {"train.engine.name": '"fsdp2"', "parallel.tp": "4", "parallel.etp": None}
    allow: Changes = {"allow": '[{ rule = "RLC0536", why = "this is about something else" }]'}
    assert "RLC0507" not in codes(tmp_path, {**shards, **allow}, base=MOE)
    assert "RLC0507" in codes(tmp_path, {**shards, **allow, "parallel.etp": "1"}, base=MOE)
    assert "RLC0507" not in codes(tmp_path, {**shards, **allow, "parallel.etp": "4"}, base=MOE)
