"""A slice is written first:end and holds a row."""

from pathlib import Path

import pytest

from tests.support.good_spec import codes


@pytest.mark.parametrize(
    ("rows", "raised"),
    [
        ("0:1", []),
        ("5:", []),
        (":5", []),
        (":", []),
        ("5:5", ["RLC0363"]),
        ("5:4", ["RLC0363"]),
        (":0", ["RLC0363"]),
        ("5", ["RLC0363"]),
        ("-5:", ["RLC0363"]),
        ("1:2:3", ["RLC0363"]),
        ("a:b", ["RLC0363"]),
        ("1:10000000000000000000", ["RLC0363"]),
    ],
)
def test_which_slices_are_slices(tmp_path: Path, rows: str, raised: list[str]) -> None:
    assert codes(tmp_path, {"data.train": f'[{{ path = "a.jsonl", rows = "{rows}" }}]'}) == raised
