"""RLC0358 (DISTILL-03): one token that is scaled to 1 teaches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan

CASE = Path(__file__).parents[2] / "cases" / "RLC0358_one_token_is_scaled_to_one.toml"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("loss.topk=1",), {"RLC0358"}),
        (("loss.topk=1", "loss.outside_topk=zero"), set()),
        (("loss.topk=2",), set()),
    ],
)
def test_bounds_of_topk(overrides: tuple[str, ...], expected: set[str]) -> None:
    assert {d.code for d in compile_spec(CASE, scan(), overrides=overrides).diagnostics} == expected
