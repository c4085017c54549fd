"""Runs that train layers for further tokens: through stages, checkpoints, resumes, and into the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.run_directory import newest_checkpoint, results_of
from tests.support.tiny_experts import FAMILIES, run

pytestmark = pytest.mark.torch

MTP = ("model.num_mtp_layers=1", "train.mtp.loss_coef=0.3")
PREDICTING = pytest.mark.parametrize("family", ["glm4_moe", "deepseek_v3"])


@PREDICTING
def test_a_run_that_trains_them_is_resumed_bit_by_bit(tmp_path: Path, family: str) -> None:
    further = (f'model.family="{family}"', *FAMILIES[family], *MTP, 'train.routing_replay="rollout"')
    rows = run(tmp_path / "whole", *further)
    assert all(row["train/mtp_loss"] > 0 for row in rows)
    run(tmp_path / "cut", *further, "run.max_steps=2")
    run(tmp_path / "cut", *further)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")


@PREDICTING
def test_what_they_learn_changes_nothing_of_the_policy(tmp_path: Path, family: str) -> None:
    further = (f'model.family="{family}"', *FAMILIES[family], 'optim.clip_grad_norm="off"', "model.num_mtp_layers=1")
    rows = run(tmp_path / "without", *further)
    predicting = run(tmp_path / "with", *further, "train.mtp.loss_coef=0.3")
    for row, other in zip(rows, predicting, strict=True):
        assert other["reward/mean"] == row["reward/mean"]
        assert other["train/logprob_gap"] == row["train/logprob_gap"]
    first, last = (
        load_file(newest_checkpoint(tmp_path / w / "run") / "model.safetensors") for w in ("without", "with")
    )
    assert all(last[name].equal(tensor) for name, tensor in first.items())
    assert "model.layers.2.eh_proj.weight" in last
    assert "model.layers.2.eh_proj.weight" not in first


@PREDICTING
def test_a_run_that_drafts_draws_what_it_would_draw_and_is_resumed_bit_by_bit(tmp_path: Path, family: str) -> None:
    further = (f'model.family="{family}"', *FAMILIES[family], *MTP, 'train.routing_replay="rollout"')
    drafts = ('rollout.speculation.method="mtp"', "rollout.speculation.num_draft_tokens=2")
    plain, rows = run(tmp_path / "plain", *further), run(tmp_path / "whole", *further, *drafts)
    assert rows[0]["reward/mean"] == plain[0]["reward/mean"]
    assert rows[0]["rollout/response_tokens_mean"] == plain[0]["rollout/response_tokens_mean"]
    assert all(abs(row["train/logprob_gap"]) < 1e-4 for row in rows)
    for row in rows:
        assert row["engine/accepted_frac"] == row["engine/accepted_tokens"] / row["engine/drafted_tokens"]
    assert sum(row["engine/accepted_tokens"] for row in rows) > 0
    run(tmp_path / "cut", *further, *drafts, "run.max_steps=2")
    run(tmp_path / "cut", *further, *drafts)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")
