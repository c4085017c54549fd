"""Limits of functions are refused where every reward is something else."""

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

JUDGE: Changes = {"reward.name": '"judge"', "reward.judge.url": '"http://h/v1"', "reward.judge.model": '"m"'}
BOTH = '[{ name = "code_tests" }, { name = "exact" }]'


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        (JUDGE, []),
        ({**JUDGE, "reward.timeout_s": "5.0"}, ["RLC0344"]),
        ({**JUDGE, "reward.timeout_s": "5.0", "reward.concurrency": "5"}, ["RLC0344", "RLC0344"]),
        ({**JUDGE, "reward.judge.timeout_s": "5.0"}, []),
        ({"reward.timeout_s": "5.0", "reward.concurrency": "5"}, []),
        ({"reward.name": '"code_tests"', "reward.concurrency": "5"}, ["RLC0344"]),
        ({"reward.name": '"weighted_sum"', "reward.terms": BOTH, "reward.concurrency": "5"}, []),
        (
            {"reward.name": '"weighted_sum"', "reward.terms": '[{ name = "code_tests" }]', "reward.timeout_s": "5.0"},
            ["RLC0344"],
        ),
    ],
)
def test_which_limits_are_read(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    assert codes(tmp_path, changes) == raised
