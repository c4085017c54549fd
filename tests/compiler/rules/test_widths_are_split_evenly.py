"""RLC0520 (PAR-02): what tensor parallelism splits beside heads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, MOE, SFT, Changes, messages

ALLOWED: Changes = {"allow": '[{ rule = "RLC0536", why = "not what this is about" }]'}


def other(fact: str) -> Changes:
    """A fact of the model that is another one on purpose."""
    return {"model.overrides": f'[{{ fact = "{fact}", why = "a test" }}]'}


@pytest.mark.parametrize(("width", "is_even"), [(9736, True), (9732, True), (9730, False)])
def test_a_feed_forward_layer_over_four_gpus(tmp_path: Path, width: int, is_even: bool) -> None:
    found = messages(
        tmp_path, {**other("intermediate_size"), "model.intermediate_size": str(width), "parallel.tp": "4"}, base=GPU
    )
    assert found == ([] if is_even else [f"{width:,} inner channels cannot be split over 4 GPUs"])


def test_an_engine_splits_it_too(tmp_path: Path) -> None:
    wide: Changes = {**other("intermediate_size"), "model.intermediate_size": "9730", "placement.gpus_per_engine": "4"}
    assert messages(tmp_path, wide, base=GPU) == ["9,730 inner channels cannot be split over 4 GPUs"]
    gpu: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster."))}
    assert messages(tmp_path, {**gpu, **wide}, base=SFT) == []


def test_experts_are_split_by_their_own_axis(tmp_path: Path) -> None:
    odd: Changes = {
        **other("moe.expert_size"),
        **ALLOWED,
        "model.moe.expert_size": "766",
        "parallel.tp": "4",
        "parallel.ep": "8",
    }
    assert messages(tmp_path, odd, base=MOE) == []
    assert messages(tmp_path, {**odd, "parallel.ep": "2", "parallel.etp": "4"}, base=MOE) == [
        "766 channels of an expert cannot be split over 4 GPUs"
    ]


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("sglang", []),
        ("sglang, ep_size = 4", []),
        ("sglang, ep_size = 1", ["766 channels of an expert cannot be split over 4 GPUs"]),
        ("vllm, enable_expert_parallel = true", []),
    ],
)
def test_whole_experts_on_a_gpu_are_not_split(tmp_path: Path, engine: str, says: list[str]) -> None:
    name, _, setting = engine.partition(", ")
    odd: Changes = {
        **other("moe.expert_size"),
        "allow": '[{ rule = "RLC0536", why = "x" }]',
        "model.moe.expert_size": "766",
        "parallel.ep": "8",
        "rollout.engine.name": f'"{name}"',
        "placement.gpus_per_engine": "4" if setting else "2",
    }
    if setting:
        key, _, value = setting.partition(" = ")
        odd[f"rollout.engine.{name}.{key}"] = value
    assert messages(tmp_path, odd, base=MOE) == says


def test_a_delta_net_is_split_by_heads(tmp_path: Path) -> None:
    few: Changes = {
        **other("linear_attention.num_key_heads"),
        "model.name": '"//models:qwen3_5_4b"',
        "model.linear_attention.num_key_heads": "2",
        "parallel.tp": "4",
    }
    assert "2 key heads of a delta net cannot be split over 4 GPUs" in messages(tmp_path, few, base=GPU)


def test_the_width_of_a_layer_that_is_not_there_does_not_matter(tmp_path: Path) -> None:
    odd: Changes = {
        **other("intermediate_size"),
        **ALLOWED,
        "model.intermediate_size": "6145",
        "parallel.tp": "4",
        "parallel.ep": "8",
    }
    assert messages(tmp_path, odd, base=MOE) == []
