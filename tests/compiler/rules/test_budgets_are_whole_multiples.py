"""RLC0354 (TOK-03): padding ends within the token budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled


@pytest.mark.parametrize(("budget", "is_whole"), [(1023, False), (1024, True), (1025, False), (1152, True)])
def test_a_budget_is_a_multiple(tmp_path: Path, budget: int, is_whole: bool) -> None:
    changes: Changes = {"train.packing.tokens": str(budget), "train.packing.pad_multiple": "128"}
    assert codes(tmp_path, changes) == ([] if is_whole else ["RLC0354"])


def test_a_budget_that_the_compiler_chooses_is_one(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"train.packing.pad_multiple": "100"}).plan
    assert plan is not None
    assert plan.experiment.stages[0].train.packing.tokens == 16400
