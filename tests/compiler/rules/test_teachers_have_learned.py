"""RLC0397 (DISTILL-01): a teacher with random weights is warned of, and there is a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GRPO, Changes, codes

TAUGHT: Changes = {
    "use": '["//recipes:on_policy_distillation"]',
    "reward.name": None,
    "teacher.name": '"//models:tiny_qwen3"',
}


@pytest.mark.parametrize(("weights", "expected"), [('"random"', ["RLC0397"]), ('"somewhere"', [])])
def test_random_teachers_are_warned_of(tmp_path: Path, weights: str, expected: list[str]) -> None:
    assert codes(tmp_path, {**TAUGHT, "teacher.weights": weights}, base=GRPO) == expected


@pytest.mark.parametrize("table", ["model", "teacher"])
def test_a_directory_that_is_no_path_of_the_experiment_misses_no_weights(tmp_path: Path, table: str) -> None:
    named: Changes = {f"{table}.name": None, f"{table}.weights": None, f"{table}.hf": '"/etc/m"'}
    changes: Changes = {**TAUGHT, "teacher.weights": '"somewhere"', **named}
    found = codes(tmp_path, changes, base=GRPO)
    assert "RLC0011" in found
    assert not {"RLC0205", "RLC0313"} & set(found)
