"""The profile of a step counts every second once."""

from __future__ import annotations

import pytest

from benchmarks.train.profile_step import OTHER, OUTSIDE, by_purpose


def test_operations_are_told_apart_and_what_is_left_is_outside_of_them() -> None:
    seconds = {"aten::mm": 3.0, "aten::bmm": 1.0, "aten::weighing": 0.5, "_Norm": 0.25, "autograd::engine": 9.0}
    found = by_purpose(seconds, wall_s=6.0)
    assert found["matrix products"] == 3.0
    assert found["norms"] == 0.25
    assert found[OTHER] == 0.5
    assert found[OUTSIDE] == pytest.approx(6.0 - 4.75)
    assert sum(found.values()) == pytest.approx(6.0)


def test_operations_that_overlap_leave_nothing_outside() -> None:
    assert by_purpose({"aten::mm": 3.0}, wall_s=2.0)[OUTSIDE] == 0.0
