"""RLC0316 (PAR-02): query heads share key and value heads evenly, and a head has an even width."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes


@pytest.mark.parametrize(("query", "shared"), [("4", "4"), ("4", "1"), ("6", "3")])
def test_a_divisor_of_the_query_heads_is_fine(tmp_path: Path, query: str, shared: str) -> None:
    assert codes(tmp_path, {"model.num_heads": query, "model.num_kv_heads": shared}) == []


@pytest.mark.parametrize(("query", "shared"), [("4", "3"), ("6", "4"), ("2", "4")])
def test_other_numbers_of_shared_heads_are_refused(tmp_path: Path, query: str, shared: str) -> None:
    assert codes(tmp_path, {"model.num_heads": query, "model.num_kv_heads": shared}) == ["RLC0316"]


@pytest.mark.parametrize(("width", "found"), [("32", []), ("20", []), ("33", ["RLC0316"])])
def test_a_head_has_an_even_width(tmp_path: Path, width: str, found: list[str]) -> None:
    assert codes(tmp_path, {"model.head_dim": width}) == found
