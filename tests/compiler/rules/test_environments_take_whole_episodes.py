"""RLC0380 (EPI-01): episodes are not kept between two turns, nor measured as single responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

PUZZLE: Changes = {
    "environment.name": '"sliding_puzzle"',
    "environment.max_observation_tokens": "32",
    "rollout.max_prompt_tokens": "64",
}
PARTIAL: Changes = {
    "rollout.buffer.partial": "true",
    "rollout.buffer.oversample": "1.5",
    "rollout.buffer.max_staleness_steps": "2",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (PUZZLE, []),
        (PARTIAL, []),
        ({**PUZZLE, **PARTIAL}, ["RLC0380"]),
        ({**PUZZLE, "reward.shaping.overlong.penalty": "1.0"}, ["RLC0380"]),
        ({**PUZZLE, "reward.shaping.truncated_coef": "0.5"}, []),
    ],
)
def test_an_environment_takes_whole_episodes(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, changes) == expected
