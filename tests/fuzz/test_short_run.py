"""A short run of every target: a fixed draw of inputs, so that the same ones are tried each time."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.campaign import Budget, fuzz, is_guided, is_seen_again
from tests.fuzz.findings import crashes, findings
from tests.fuzz.target import names

BUDGET = Budget(num_inputs=400, num_seeds=4, largest=4096)


def test_a_few_hundred_inputs_of_all_targets_find_nothing(tmp_path: Path) -> None:
    ended = fuzz(names(), tmp_path, BUDGET)
    assert ended.num_inputs == BUDGET.num_inputs, ended.log
    assert not is_guided() or ended.num_branches > 5_000, "hardly any branch of ours is counted"
    assert [path for path in findings(tmp_path) if is_seen_again(path)] == []
    assert crashes(tmp_path) == []
