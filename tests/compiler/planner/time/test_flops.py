"""FLOPs of a sequence against those that torch counts while a network of transformers runs, and one model by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compiler.ir.openness import OFF
from compiler.planner.time.flops import sequence_flops
from tests.runtime.engines.tiny_trainer import VOCAB, hf_model, tiny_families
from tests.support.good_spec import GPU, GRPO, Changes, compiled

pytestmark = pytest.mark.torch


def counted(name: str, num_tokens: int) -> int:
    """Return the FLOPs of the matrix products of one forward pass, scores above the diagonal included."""
    model = hf_model(tiny_families()[name])
    model.set_attn_implementation("eager")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(input_ids=torch.arange(num_tokens)[None] % VOCAB)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama", "glm4"])
def test_torch_counts_the_same_products(name: str) -> None:
    model = tiny_families()[name]
    flops = sequence_flops(model)
    vectors = sum(p.numel() for p in hf_model(model).parameters() if p.dim() == 1)  # norms and biases, no products
    for n in (7, 40):
        assert counted(name, n) == (flops.per_token - 2 * vectors) * n + 2 * flops.per_pair * n * n


def test_a_published_model_by_hand(tmp_path: Path) -> None:
    # Qwen3-4B: 36 layers of 2,560 channels, 32 heads and 8 key-value heads of 128, 9,728 inner channels, a tied head
    layer = 2560 * (32 + 2 * 8) * 128 + 32 * 128 * 2560 + 3 * 2560 * 9728
    norms = 36 * (2 * 2560 + 2 * 128) + 2560
    plan = compiled(tmp_path, {"train.packing.balance": '"flops"'}, base=GPU).plan
    assert plan is not None
    flops = sequence_flops(plan.experiment.model)
    assert flops.per_token == 2 * (36 * layer + 151936 * 2560 + norms)
    assert flops.per_pair == 36 * 32 * (128 + 128)


@pytest.mark.parametrize("balance", ['"flops"', '"tokens"', '"off"', None])
def test_a_plan_holds_them_where_flops_are_balanced(tmp_path: Path, balance: str | None) -> None:
    changes: Changes = {"train.packing.balance": balance}
    plan = compiled(tmp_path, changes, base=GRPO).plan
    assert plan is not None
    found = plan.experiment.stages[0].train.packing.flops
    assert found == (sequence_flops(plan.experiment.model) if balance == '"flops"' else OFF)
