"""RLC0521 (PAR-03): number formats that scale blocks of values, and the widths that they fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.rules.good_spec import GPU, MOE, Changes, codes, messages

ALLOWED: Changes = {"allow": '[{ rule = "RLC0536", why = "not what this is about" }]'}


def experts(folder: Path, etp: int, recipe: str) -> list[str]:
    changes: Changes = {
        **ALLOWED,
        "cluster.nodes": "8",
        "parallel.etp": str(etp),
        "train.engine.megatron.fp8": '"e4m3"',
        "train.engine.megatron.fp8_recipe": f'"{recipe}"',
    }
    return [code for code in codes(folder, changes, base=MOE) if code == "RLC0521"]


# 768 channels of an expert: 192 on each of four GPUs, 384 on each of two.
@pytest.mark.parametrize(
    ("etp", "recipe", "is_whole"),
    [(2, "blockwise", True), (4, "blockwise", False), (4, "mxfp8", True), (4, "tensorwise", True), (4, "other", True)],
)
def test_blocks_of_experts(tmp_path: Path, etp: int, recipe: str, is_whole: bool) -> None:
    assert experts(tmp_path, etp, recipe) == ([] if is_whole else ["RLC0521"])


def test_without_the_format_nothing_has_blocks(tmp_path: Path) -> None:
    recipe: Changes = {**ALLOWED, "parallel.etp": "4", "parallel.ep": "2"}
    assert codes(tmp_path, {**recipe, "train.engine.megatron.fp8_recipe": '"blockwise"'}, base=MOE) == []


def test_an_engine_has_blocks_of_its_own(tmp_path: Path) -> None:
    asked: Changes = {
        "rollout.engine.name": '"vllm"',
        "placement.gpus_per_engine": "8",
        "rollout.engine.vllm.quantization": '"fp8_per_block"',
    }
    # 32 heads of 128 channels and 9,728 inner channels: 512 and 1,216 on each of eight GPUs.
    assert messages(tmp_path, asked, base=GPU) == [
        "fp8_per_block scales blocks of 128 values, and a GPU has 1,216 of 9,728 inner channels"
    ]
    assert messages(tmp_path, {**asked, "placement.gpus_per_engine": "4"}, base=GPU) == []
    assert messages(tmp_path, {**asked, "rollout.engine.vllm.quantization": '"fp8"'}, base=GPU) == []
