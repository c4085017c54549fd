"""RLC0346 (DISTILL-02): nothing reads rewards where nothing is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

TAUGHT: Changes = {
    "use": None,
    "algo.name": '"opd"',
    "optim.lr": "1e-5",
    "reward.name": None,
    "teacher.name": '"//models:tiny_qwen3"',
    "teacher.weights": '"somewhere"',
}

WAITING: Changes = {
    "rollout.buffer.partial": "true",
    "rollout.buffer.oversample": "1.5",
    "rollout.buffer.stale_tokens": '"mask"',
    "rollout.buffer.max_staleness_steps": "2",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"algo.rewards": '"group"'}, ["RLC0346"]),
        ({"algo.rewards": '"group"', "reward.name": '"exact"'}, []),
        ({"rollout.filter.name": '"nonzero_std"'}, ["RLC0346"]),
        ({"rollout.filter.name": '"nonzero_std"', "reward.name": '"exact"'}, []),
        ({"rollout.filter.name": '"own.py:keeps"'}, []),
        ({**WAITING, "rollout.buffer.selector": '"prioritised"'}, ["RLC0346"]),
        ({**WAITING, "rollout.buffer.selector": '"fifo"'}, []),
        ({"loss.positive_nll.coef": "0.1"}, ["RLC0346"]),
        ({"loss.positive_nll.coef": "0.1", "reward.name": '"exact"'}, []),
        ({"rollout.samples_per_prompt": "1", "rollout.prompts_per_step": "32"}, []),
    ],
)
def test_a_stage_without_rewards_reads_none(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    (tmp_path / "own.py").write_text("def keeps(group):\n    return True\n", encoding="utf-8")
    assert codes(tmp_path, {**TAUGHT, **changes}) == expected


def test_advantages_within_a_group_of_one_are_refused(tmp_path: Path) -> None:
    one: Changes = {"algo.rewards": '"group"', "reward.name": '"exact"', "rollout.samples_per_prompt": "1"}
    assert codes(tmp_path, {**TAUGHT, **one, "rollout.prompts_per_step": "32"}) == ["RLC0304"]
