"""Every architecture, whole and split: weights go in and come out exactly, and what is computed is what transformers'
own model computes, or the trainer of one process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Never

import pytest
import torch

from compiler.ir.model import Model, Moe
from tests.engines.megatron.answers import assert_same
from tests.engines.megatron.on_ranks import Case, trained
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    hf_model,
    plain_logprobs,
    policy_params,
    tiny_families,
    tiny_weights,
)
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks

pytestmark = pytest.mark.L2

# Megatron judges a group of experts by as many members as a token visits of each: here two, as in the published models.
BALANCED = Moe(
    num_experts=12,
    experts_per_token=4,
    expert_size=24,
    shared_expert_size=48,
    num_dense_layers=1,
    score="sigmoid",
    expert_bias=True,
    routed_scaling=2.5,
    num_groups=3,
    groups_per_token=2,
)
FAMILIES = {
    **tiny_families(),
    "qwen3_moe": tiny_families()["qwen3_moe"].replacing(moe=Moe(num_experts=6, experts_per_token=2, expert_size=24)),
    **{name: tiny_families()[name].replacing(moe=BALANCED) for name in ("glm4_moe", "deepseek_v3")},
}
WHOLE: tuple[int, Changes] = (1, {})
PIECES: tuple[int, Changes] = (4, {"parallel.tp": "2", "parallel.sp": "true", "parallel.pp": "2"})
EXPERTS: tuple[int, Changes] = (2, {"parallel.ep": "2"})
LAYOUTS = [
    *((name, *layout) for name in FAMILIES for layout in (WHOLE, PIECES)),
    *((name, *EXPERTS) for name, model in FAMILIES.items() if isinstance(model.moe, Moe)),
    ("deepseek_v3", 2, {"parallel.tp": "2", "parallel.sp": "true", "parallel.etp": "2"}),
    ("deepseek_v3", 2, {"parallel.cp": "2"}),
]


def case_of(folder: Path, model: Model[Never], changes: Changes, *, num_ranks: int) -> Case:
    return Case(
        launch=launch_of(folder, model, changes, num_ranks=num_ranks),
        params=policy_params(entropy_coef=0.01),
        weights=tiny_weights(model),
        batches=[grouped_batch(), grouped_batch(1)],
    )


@pytest.mark.parametrize(("family", "num_ranks", "changes"), LAYOUTS)
def test_weights_come_out_as_they_went_in_and_a_family_trains_as_in_one_process(
    tmp_path: Path, megatron_ranks: RunRanks, family: str, num_ranks: int, changes: Changes
) -> None:
    case = case_of(tmp_path, FAMILIES[family], changes, num_ranks=num_ranks)
    untouched = megatron_ranks(num_ranks, trained, replace(case, batches=[]))[0]
    assert untouched.weights.keys() == case.weights.keys()
    assert all(tensor.equal(case.weights[name]) for name, tensor in untouched.weights.items())
    found = megatron_ranks(num_ranks, trained, case)[0]
    with torch.no_grad():
        plain = plain_logprobs(hf_model(FAMILIES[family]), case.batches[0])
    torch.testing.assert_close(found.logprobs, plain, atol=1e-4, rtol=0)
    assert_same(found, case.alone())
