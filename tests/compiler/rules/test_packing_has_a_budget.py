"""RLC0353 (CFG-02): what packs is set only where there is a token budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes


@pytest.mark.parametrize(
    "changes",
    [
        {"train.packing.algorithm": '"concatenative"', "train.packing.balance": '"flops"'},
        {"train.packing.balance": '"tokens"', "train.packing.tokens": "4096"},
        {"train.micro_batch": "8"},
        {"train.micro_batch": "8", "train.packing.balance": '"off"'},
        {"train.micro_batch": "8", "train.packing.pad_multiple": "64"},
    ],
)
def test_packing_beside_a_budget_and_padding_anywhere_is_fine(tmp_path: Path, changes: Changes) -> None:
    assert codes(tmp_path, changes) == []


@pytest.mark.parametrize("field", ["algorithm", "balance"])
def test_what_packs_nothing_is_an_error(tmp_path: Path, field: str) -> None:
    value = {"algorithm": '"best_fit_decreasing"', "balance": '"tokens"'}[field]
    assert codes(tmp_path, {"train.micro_batch": "8", f"train.packing.{field}": value}) == ["RLC0353"]


def test_two_bounds_are_one_fault(tmp_path: Path) -> None:
    changes: Changes = {
        "train.micro_batch": "8",
        "train.packing.tokens": "4096",
        "train.packing.balance": '"tokens"',
    }
    assert codes(tmp_path, changes) == ["RLC0305"]
