"""RLC0391 (PAR-04): what drafts need of the model, the engine and the target."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import Off
from tests.compiler.rules.test_further_tokens_can_be_trained import EXPERTS
from tests.support.good_spec import GPU, GRPO, SFT, Changes, codes, compiled, messages

DRAFTS: Changes = {"rollout.speculation.method": '"mtp"', "rollout.speculation.num_draft_tokens": "2"}
ONE: Changes = {**DRAFTS, **EXPERTS, "model.num_mtp_layers": "1"}


def test_a_model_with_such_a_layer_drafts_whether_or_not_a_stage_trains_it(tmp_path: Path) -> None:
    assert codes(tmp_path, ONE) == []
    assert codes(tmp_path, {**ONE, "train.mtp.loss_coef": "0.1"}) == []


@pytest.mark.parametrize("num", ["0", "2"])
def test_one_layer_drafts(tmp_path: Path, num: str) -> None:
    has = "none" if num == "0" else num
    told = f"one layer for further tokens drafts, and the model has {has}"
    assert messages(tmp_path, {**ONE, "model.num_mtp_layers": num}) == [told]


def test_an_architecture_whose_layer_is_not_held_is_named(tmp_path: Path) -> None:
    told = "target cpu does not hold the layers for further tokens of qwen3"
    assert messages(tmp_path, {**DRAFTS, "model.num_mtp_layers": "1"}) == [told]


def test_the_deterministic_mode_drafts_nothing(tmp_path: Path) -> None:
    told = "the deterministic mode computes one token of a sequence at a time, and drafts several"
    assert messages(tmp_path, {**ONE, "rollout.engine.deterministic": "true"}) == [told]


def test_engines_on_gpus_draft_by_settings_of_their_own(tmp_path: Path) -> None:
    found = compiled(tmp_path, DRAFTS, base=GPU).diagnostics
    (told,) = [d for d in found if d.code == "RLC0391"]
    assert told.message.startswith("the engine native drafts tokens, and this stage generates with ")


def test_a_pass_drafts_a_token_or_more(tmp_path: Path) -> None:
    assert codes(tmp_path, {**ONE, "rollout.speculation.num_draft_tokens": "0"}) != []
    plan = compiled(tmp_path, {**ONE, "rollout.speculation.num_draft_tokens": None}).plan
    assert plan is not None
    (stage,) = plan.experiment.stages
    assert not isinstance(stage.rollout, Off)
    assert not isinstance(stage.rollout.speculation, Off)
    assert stage.rollout.speculation.num_draft_tokens == 1


def test_a_stage_that_generates_nothing_has_nothing_to_draft(tmp_path: Path) -> None:
    assert codes(tmp_path, DRAFTS, base=SFT) == ["RLC0202", "RLC0202"]
    assert codes(tmp_path, {}, base=GRPO) == []
