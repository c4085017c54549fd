"""RLC0359 (BUF-05): where a filter compares the rewards of a group, there are several."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan

CASE = Path(__file__).parents[2] / "cases" / "RLC0359_a_filter_that_no_group_passes.toml"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {"RLC0359"}),
        (("rollout.samples_per_prompt=2", "train.global_batch=8"), set()),
        (("rollout.filter.name=mean_within",), set()),
    ],
)
def test_groups_of_one_never_differ(overrides: tuple[str, ...], expected: set[str]) -> None:
    assert {d.code for d in compile_spec(CASE, scan(), overrides=overrides).diagnostics} == expected
