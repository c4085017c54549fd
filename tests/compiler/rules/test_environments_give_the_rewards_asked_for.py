"""RLC0381 (EPI-02): a reward of the environment is asked of one that gives rewards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

ASKED: Changes = {"reward.name": '"environment"', "rollout.max_prompt_tokens": "64"}
ROOM: Changes = {"environment.max_observation_tokens": "32"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["RLC0381"]),
        ({"environment.name": '"sliding_puzzle"', **ROOM}, []),
        ({"environment.name": '"tools"', "environment.tools": '[{ name = "calculator" }]', **ROOM}, ["RLC0381"]),
        ({"environment.name": '"search"', "environment.search.documents": '"d.jsonl"', **ROOM}, ["RLC0381"]),
        ({"environment.name": '"play.py:begin"', **ROOM}, []),
    ],
)
def test_a_reward_is_asked_of_an_environment_that_gives_it(
    tmp_path: Path, changes: Changes, expected: list[str]
) -> None:
    (tmp_path / "play.py").write_text("def begin(context):\n    return None\n")
    assert codes(tmp_path, {**ASKED, **changes}) == expected


def test_a_term_asks_as_well(tmp_path: Path) -> None:
    terms = '[{ name = "exact" }, { name = "environment" }]'
    assert codes(tmp_path, {"reward.name": '"weighted_sum"', "reward.terms": terms}) == ["RLC0381"]
