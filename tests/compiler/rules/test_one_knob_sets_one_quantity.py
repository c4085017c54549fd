"""RLC0305 (BATCH-08): a micro-batch is bounded by samples or by tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.passes.pipeline import run_pipeline
from tests.support.good_spec import Changes, codes, compiled


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train.micro_batch": "8"},
        {"train.packing.tokens": "4096"},
        {"train.packing.tokens": '"auto"'},
        {"train.micro_batch": "8", "train.packing.tokens": '"off"'},
        {"train.micro_batch": '"off"', "train.packing.tokens": "4096"},
    ],
)
def test_one_bound_is_enough(tmp_path: Path, changes: Changes) -> None:
    assert codes(tmp_path, changes) == []


def test_two_bounds_are_one_too_many_and_none_is_one_too_few(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.micro_batch": "8", "train.packing.tokens": "4096"}) == ["RLC0305"]
    assert codes(tmp_path, {"train.micro_batch": '"off"', "train.packing.tokens": '"off"'}) == ["RLC0305"]


@pytest.mark.parametrize("changes", [{}, {"train.micro_batch": "8"}, {"train.global_batch": "8"}])
def test_resolving_what_is_resolved_changes_nothing(tmp_path: Path, changes: Changes) -> None:
    subject = compiled(tmp_path, changes).subject
    assert subject is not None
    assert run_pipeline(subject.experiment, subject.origins, subject.catalogue) == subject.experiment
