"""RLC0383 (EPI-04): the longest prompt, turn and answer leave room for a second turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.rollout import Rollout
from tests.support.good_spec import Changes, codes, compiled

PUZZLE: Changes = {
    "environment.name": '"sliding_puzzle"',
    "environment.max_observation_tokens": "32",
    "rollout.max_prompt_tokens": "64",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rollout.max_context_tokens": "113"}, []),
        ({"rollout.max_context_tokens": "112"}, ["RLC0383"]),
        ({"rollout.max_context_tokens": "112", "environment.max_turns": "1"}, []),
        ({"environment.max_observation_tokens": "1000"}, ["RLC0383"]),
    ],
)
def test_a_second_turn_fits(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, {**PUZZLE, **changes}) == expected


@pytest.mark.parametrize(("turns", "context"), [(1, 80), (3, 64 + 3 * 16 + 2 * 32), (100, 512)])
def test_the_context_is_derived_for_all_turns_or_as_long_as_the_model_is(
    tmp_path: Path, turns: int, context: int
) -> None:
    plan = compiled(tmp_path, {**PUZZLE, "environment.max_turns": str(turns)}).plan
    assert plan is not None
    rollout = plan.experiment.stages[0].rollout
    assert isinstance(rollout, Rollout)
    assert rollout.max_context_tokens == context
