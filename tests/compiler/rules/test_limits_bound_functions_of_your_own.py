"""Limits of functions of one's own are refused where there is none."""

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes

FILTER, BUFFER = "rollout.filter.timeout_s", "rollout.buffer.timeout_s"
PARTIAL = {
    "rollout.buffer.partial": "true",
    "rollout.buffer.oversample": "2.0",
    "rollout.buffer.max_staleness_steps": "1",
}


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"rollout.filter.name": '"nonzero_std"', FILTER: "5.0"}, ["RLC0396"]),
        ({"rollout.filter.name": '"own.py:keeps"', FILTER: "5.0"}, []),
        ({**PARTIAL, BUFFER: "5.0"}, ["RLC0396"]),
        ({"data.train": '[{ path = "train.jsonl", timeout_s = 5.0 }]'}, ["RLC0396"]),
        ({"data.train": '[{ function = "own.py:rows", timeout_s = 5.0 }]'}, []),
    ],
)
def test_where_a_limit_is_read(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    text = "def keeps(group):\n    return True\n\n\ndef rows():\n    yield {}\n"
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    assert codes(tmp_path, changes) == raised
