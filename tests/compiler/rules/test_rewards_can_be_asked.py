"""Settings of rewards that are fine, and those that no response could be judged by."""

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

JUDGE = {"reward.name": '"judge"', "reward.judge.url": '"http://h/v1"', "reward.judge.model": '"m"'}


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        (JUDGE, []),
        ({**JUDGE, "reward.judge.pattern": "'rating: [0-9]+'"}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.pattern": "'rating: ([0-9]+)'"}, []),
        ({**JUDGE, "reward.judge.template": '"{{ prompt }} {{ metadata.hint }}"'}, []),
        ({**JUDGE, "reward.judge.template": '"{{ prompt"'}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.template": '"{{ secret }}"'}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.max_score": "1.5"}, []),
        ({**JUDGE, "reward.judge.max_score": "1.0"}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.url": '"ftp://h/v1"'}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.url": '"http://"'}, ["RLC0340"]),
        ({**JUDGE, "reward.judge.url": '"http://[::1]:8000/v1?a=b"'}, []),
        ({"reward.name": '"regex"', "reward.regex.pattern": '"("'}, ["RLC0340"]),
        ({"reward.name": '"boxed_regex"', "reward.regex.pattern": "'^[0-9]+$'"}, []),
        ({"reward.name": '"format"', "reward.format.tags": "[]"}, ["RLC0340"]),
        ({"reward.name": '"format"', "reward.format.tags": '["a", "a"]'}, ["RLC0340"]),
        ({"reward.name": '"format"'}, []),
        ({"reward.name": '"code_tests"'}, []),
        ({"reward.name": '"code_tests"', "reward.code_tests": '"off"'}, ["RLC0340"]),
        ({"reward.name": '"weighted_sum"', "reward.terms": '[{ name = "regex", regex.pattern = "(" }]'}, ["RLC0340"]),
    ],
)
def test_settings_at_their_bounds(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    assert codes(tmp_path, changes) == raised
