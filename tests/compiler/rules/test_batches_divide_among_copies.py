"""RLC0508 (BATCH-03): a batch is a multiple of the copies, and a copy's share of its micro-batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.rules.good_spec import GPU, Changes, codes, compiled


def batch(samples: int, **axes: int) -> Changes:
    """A rollout of twice as many samples as an optimizer step takes."""
    sizes: Changes = {"rollout.samples_per_prompt": "2", "rollout.prompts_per_step": str(samples)}
    return {
        **sizes,
        "train.global_batch": str(samples),
        **{f"parallel.{name}": str(size) for name, size in axes.items()},
    }


@pytest.mark.parametrize(("samples", "tp", "fits"), [(8, 1, True), (4, 2, True), (12, 2, True), (4, 1, False)])
def test_a_batch_is_a_multiple_of_the_copies(tmp_path: Path, samples: int, tp: int, fits: bool) -> None:
    assert ("RLC0508" not in codes(tmp_path, batch(samples, tp=tp), base=GPU)) == fits


@pytest.mark.parametrize(("samples", "fits"), [(64, True), (32, True), (48, False), (16, False)])
def test_a_fixed_micro_batch_divides_the_share_of_a_copy(tmp_path: Path, samples: int, fits: bool) -> None:
    changes = {**batch(samples), "train.micro_batch": "4"}
    assert ("RLC0508" not in codes(tmp_path, changes, base=GPU)) == fits


def test_every_way_out_fits_the_copies_and_uses_up_the_rollout(tmp_path: Path) -> None:
    changes: Changes = {"train.global_batch": "4"}
    ways = [w.sets for d in compiled(tmp_path, changes, base=GPU).diagnostics for w in d.help]
    assert ways
    for sets in ways:
        assert not {"RLC0508", "RLC0301"} & set(codes(tmp_path, {**changes, **dict(sets)}, base=GPU))


@pytest.mark.parametrize(("samples", "fits"), [(32, True), (48, False), (16, False)])
def test_interleaved_stages_take_micro_batches_in_rounds(tmp_path: Path, samples: int, fits: bool) -> None:
    interleaved: Changes = {"parallel.vpp": "2", "train.micro_batch": "4"}
    # Two copies of four stages each: 32 samples are four micro-batches of a copy, 48 are six, 16 are two.
    changes = {**batch(samples, pp=4), **interleaved, "model.num_layers": "32", "model.weights": '"random"'}
    assert ("RLC0508" not in codes(tmp_path, changes, base=GPU)) == fits
    assert "RLC0508" not in codes(tmp_path, {**changes, "parallel.vpp": None}, base=GPU)
