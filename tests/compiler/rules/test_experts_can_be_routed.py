"""RLC0317 (PAR-02): a router finds the experts that a token is said to visit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes


def moe(**changes: int) -> Changes:
    facts = {"num_experts": 8, "experts_per_token": 2, "expert_size": 16, "shared_expert_size": 16, **changes}
    inside = ", ".join(f"{key} = {value}" for key, value in facts.items())
    return {"model.family": '"glm4_moe"', "model.moe": f'{{ {inside}, score = "sigmoid", expert_bias = true }}'}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"experts_per_token": 8},
        {"num_groups": 4, "groups_per_token": 1},
        {"num_groups": 2, "groups_per_token": 2},
        {"num_dense_layers": 1},
        {"shared_expert_size": 48},
    ],
)
def test_experts_that_are_there_are_fine(tmp_path: Path, facts: dict[str, int]) -> None:
    assert codes(tmp_path, moe(**facts)) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"experts_per_token": 9},
        {"num_groups": 3},
        {"num_groups": 2, "groups_per_token": 3},
        {"num_groups": 4, "groups_per_token": 1, "experts_per_token": 3},
        {"num_groups": 8, "groups_per_token": 2},
        {"shared_expert_size": 24},
        {"shared_expert_size": 8},
        {"num_dense_layers": 2},
        {"num_dense_layers": 3},
    ],
)
def test_experts_groups_and_layers_that_are_not_there_are_refused(tmp_path: Path, facts: dict[str, int]) -> None:
    assert codes(tmp_path, moe(**facts)) == ["RLC0317"]


def test_a_model_without_experts_has_nothing_to_route(tmp_path: Path) -> None:
    assert codes(tmp_path, {"model.moe": '"off"'}) == []
