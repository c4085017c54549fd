"""RLC0537 (MEM-04): the trainer's weights and the engine's on one GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, messages

# 70.6 billion parameters in bf16: 131.4 GiB.  The trainer has 32.9 of them on a GPU, an engine of two GPUs 65.7.
LARGE: Changes = {
    "model.name": '"//models:llama3_1_70b"',
    "cluster.nodes": "16",
    "rollout.max_context_tokens": '"8Ki"',
    "parallel.tp": "4",
}


@pytest.mark.parametrize(("each", "fits"), [(2, False), (4, True)])
def test_two_copies_on_80_gigabytes(tmp_path: Path, each: int, fits: bool) -> None:
    found = codes(tmp_path, {**LARGE, "placement.gpus_per_engine": str(each)}, base=GPU)
    assert ("RLC0537" in found) != fits


def test_sides_of_their_own_hold_one_copy_each(tmp_path: Path) -> None:
    split: Changes = {"placement.mode": '"split"', "placement.train_gpus": "64", "placement.gpus_per_engine": "2"}
    assert "RLC0537" not in codes(tmp_path, {**LARGE, **split}, base=GPU)


def test_the_message_has_both_sides(tmp_path: Path) -> None:
    assert messages(tmp_path, {**LARGE, "placement.gpus_per_engine": "2"}, base=GPU) == [
        "while weights are handed over a GPU of 79.6 GiB holds 32.9 GiB of the trainer and 65.7 GiB of the engine"
    ]


def test_a_hand_over_that_holds_less_is_allowed_with_a_reason(tmp_path: Path) -> None:
    allow: Changes = {"allow": '[{ rule = "MEM-04", why = "layer by layer" }]'}
    assert codes(tmp_path, {**LARGE, **allow, "placement.gpus_per_engine": "2"}, base=GPU) == []
