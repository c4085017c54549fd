"""RLC0398 (LIVE-06): a loop that does not wait is asked for nothing but single groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GRPO, Changes, codes, compiled

ASYNC: Changes = {"schedule.mode": '"async"'}
FILTER: Changes = {"rollout.filter.name": '"nonzero_std"'}


def test_a_filter_that_makes_up_for_each_group_goes_with_it(tmp_path: Path) -> None:
    assert "RLC0398" not in codes(tmp_path, {**ASYNC, **FILTER}, base=GRPO)


@pytest.mark.parametrize(
    "changes",
    [{"rollout.filter.on_shortage": '"train_fewer"'}, {"rollout.filter.oversample": "2.0"}],
    ids=["trains on fewer", "samples more at once"],
)
def test_a_filter_of_whole_rollouts_does_not_and_its_fixes_hold(tmp_path: Path, changes: Changes) -> None:
    assert "RLC0398" not in codes(tmp_path, {**FILTER, **changes}, base=GRPO)
    found = compiled(tmp_path, {**ASYNC, **FILTER, **changes}, base=GRPO).diagnostics
    (fault,) = [d for d in found if d.code == "RLC0398"]
    for way in fault.help:
        assert "RLC0398" not in codes(tmp_path, {**ASYNC, **FILTER, **changes, **dict(way.sets)}, base=GRPO)
