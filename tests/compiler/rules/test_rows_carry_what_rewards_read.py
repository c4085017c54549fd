"""Metadata is asked for where a reward reads it, and nowhere else."""

from pathlib import Path

import pytest

from tests.support.good_spec import SFT, Changes, codes, messages

WITH = '[{ path = "train.jsonl", metadata_key = "facts" }]'
SETS = '[{ name = "heldout", path = "heldout.jsonl" }]'
BY_ROW = {"reward.name": '"by_row"', "reward.terms": '[{ name = "exact" }, { name = "math" }]'}
A_TERM = {"reward.name": '"weighted_sum"', "reward.terms": '[{ name = "ifbench" }]'}


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"reward.name": '"ifbench"', "data.train": WITH}, []),
        ({"reward.name": '"ifbench"'}, ["RLC0342"]),
        ({**BY_ROW, "data.train": WITH}, []),
        (BY_ROW, ["RLC0342"]),
        (A_TERM, ["RLC0342"]),
        ({"reward.name": '"gpqa"'}, []),
    ],
)
def test_which_rewards_read_metadata(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    assert codes(tmp_path, changes) == raised


def test_held_out_rows_are_judged_too_and_demonstrations_are_not(tmp_path: Path) -> None:
    changes: Changes = {"eval.sets": SETS, "rollout.max_response_tokens": "8", **BY_ROW}
    assert messages(tmp_path, changes, base=SFT) == [
        "by_row reads the metadata of rows, and those of heldout.jsonl have none"
    ]
