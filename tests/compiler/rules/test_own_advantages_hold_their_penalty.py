"""RLC0347 (ALGO-01): a penalty of rewards reaches the policy through advantages that are made of rewards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

ADVANTAGES: Changes = {"algo.advantages": '"own.py:ranked"'}


@pytest.mark.parametrize("recipe", ["ppo", "reinforce_plus_plus"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["RLC0347"]),
        ({"loss.kl.place": '"loss"'}, []),
        ({"loss.kl.coef": "0.0"}, []),
        ({"algo.advantages": None}, []),
    ],
)
def test_a_penalty_of_rewards_would_not_reach_the_policy(
    tmp_path: Path, recipe: str, change: Changes, expected: list[str]
) -> None:
    (tmp_path / "own.py").write_text("def ranked(experience):\n    return experience.rewards_N\n", encoding="utf-8")
    penalty: Changes = {"loss.kl.estimator": '"k3"', "loss.kl.coef": "0.01", "loss.kl.place": '"reward"'}
    changes: Changes = {"use": f'["//recipes:{recipe}"]', "run.max_steps": "20", **ADVANTAGES, **penalty, **change}
    assert codes(tmp_path, changes) == expected
