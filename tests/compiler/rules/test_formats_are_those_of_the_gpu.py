"""RLC0522 (ENV-02): number formats below 16 bits, and the GPUs that multiply in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.rules.good_spec import GPU, Changes, compiled

FP8: Changes = {"train.engine.megatron.fp8": '"e4m3"'}


@pytest.mark.parametrize(
    ("gpu", "recipe", "is_known"),
    [
        ("8xA100-80-SXM", "delayed", False),
        ("8xH100-80-SXM", "delayed", True),
        ("8xH100-80-SXM", "blockwise", True),
        ("8xH100-80-SXM", "mxfp8", False),
        ("8xB200-180", "mxfp8", True),
    ],
)
def test_a_trainer_computes_in_what_the_gpu_has(tmp_path: Path, gpu: str, recipe: str, is_known: bool) -> None:
    asked: Changes = {
        **FP8,
        "train.engine.megatron.fp8_recipe": f'"{recipe}"',
        "cluster.gpus_per_node": f'"{gpu}"',
    }
    assert [d.severity for d in compiled(tmp_path, asked, base=GPU).diagnostics if d.code == "RLC0522"] == (
        [] if is_known else ["error"]
    )


def test_an_engine_that_only_stores_it_is_warned_of(tmp_path: Path) -> None:
    asked: Changes = {"rollout.engine.sglang.quantization": '"fp8"', "cluster.gpus_per_node": '"8xA100-80-SXM"'}
    assert [(d.code, d.severity) for d in compiled(tmp_path, asked, base=GPU).diagnostics] == [("RLC0522", "warning")]
