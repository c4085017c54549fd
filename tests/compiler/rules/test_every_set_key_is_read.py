"""RLC0202 (CFG-02): a key that nothing reads is refused, unless a recipe brought it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.support.good_spec import SFT, Changes, codes


@pytest.mark.parametrize(
    ("changes", "reader"),
    [
        ({"optim.min_lr": "1e-7"}, {"optim.schedule": '"cosine"'}),
        ({"optim.momentum": "0.9"}, {"optim.name": '"sgd"'}),
        ({"algo.std_eps": "1e-3", "algo.normalize_std": "false"}, {"algo.normalize_std": "true"}),
    ],
)
def test_a_key_is_inert_until_something_reads_it(tmp_path: Path, changes: Changes, reader: Changes) -> None:
    assert codes(tmp_path, changes) == ["RLC0202"]
    assert codes(tmp_path, {**changes, **reader}) == []


def test_a_clip_range_is_inert_in_a_supervised_stage(tmp_path: Path) -> None:
    assert codes(tmp_path, {"loss.clip_low": "0.1"}, base=SFT) == ["RLC0202"]
    assert codes(tmp_path, {"loss.clip_low": "0.1"}) == []


def test_a_recipe_may_bring_more_than_is_read(tmp_path: Path) -> None:
    assert codes(tmp_path, {"optim.name": '"sgd"'}) == [], "the recipe sets beta2, which SGD does not read"


def test_a_key_on_the_command_line_is_held_to_the_same(tmp_path: Path) -> None:
    assert codes(tmp_path, {}) == []
    found = compile_spec(tmp_path / "spec.toml", scan(), overrides=["optim.momentum=0.9"]).diagnostics
    assert [d.code for d in found] == ["RLC0202"]
