"""RLC0328 (DBG-01): training alone names what it trains on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import SFT, Changes, codes, messages


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"debug.mode": '"train_only"'}, ["RLC0328"]),
        ({"debug.mode": '"train_only"', "debug.replay": '"runs/a/rollouts/main"'}, []),
        ({"debug.mode": '"full"', "debug.record": "true"}, []),
        ({"debug.mode": '"rollout_only"', "debug.record": "true"}, []),
    ],
)
def test_training_alone_has_a_recording(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    assert codes(tmp_path, changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"debug.replay": '"runs/a/rollouts/main"'},
        {"debug.mode": '"train_only"', "debug.replay": '"a"', "debug.record": "true"},
        {"debug.mode": '"rollout_only"', "debug.logprob_gap.steps": "2"},
    ],
)
def test_what_a_mode_does_not_read_is_refused(tmp_path: Path, changes: Changes) -> None:
    assert codes(tmp_path, changes) == ["RLC0202"]


def test_a_stage_that_does_not_sample_has_nothing_to_record(tmp_path: Path) -> None:
    (said,) = messages(tmp_path, {"debug.record": "true"}, base=SFT)
    assert said == "debug.record is set, and nothing in this experiment reads it"
