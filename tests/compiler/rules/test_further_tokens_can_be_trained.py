"""RLC0390 (PAR-04): what training of layers for further tokens needs of the model, the target and the stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, GRPO, SFT, Changes, codes, messages

MTP: Changes = {"train.mtp.loss_coef": "0.1"}
EXPERTS: Changes = {
    "model.family": '"glm4_moe"',
    "model.moe": "{ num_experts = 4, experts_per_token = 2, expert_size = 32, shared_expert_size = 32, "
    'score = "sigmoid", expert_bias = true }',
}


@pytest.mark.parametrize("base", [GRPO, SFT])
def test_a_model_with_such_layers_is_trained_on_sequences(tmp_path: Path, base: dict[str, str]) -> None:
    assert codes(tmp_path, {**MTP, **EXPERTS, "model.num_mtp_layers": "1"}, base=base) == []


def test_a_model_with_none_has_nothing_to_train(tmp_path: Path) -> None:
    told = ["layers for further tokens are trained, and the model has none"]
    assert messages(tmp_path, {**MTP, **EXPERTS}) == told
    assert messages(tmp_path, {**MTP, **EXPERTS, "model.num_mtp_layers": "0"}) == told


def test_an_architecture_whose_layers_nobody_trains_is_named(tmp_path: Path) -> None:
    assert messages(tmp_path, {**MTP, "model.num_mtp_layers": "1"}) == [
        "target cpu does not train the layers for further tokens of qwen3"
    ]
    glm: Changes = {"model.name": '"//models:glm4_5_106b_a12b"'}
    assert "target cuda does not train the layers for further tokens of glm4_moe" in messages(
        tmp_path, {**MTP, **glm}, base=GPU
    )
