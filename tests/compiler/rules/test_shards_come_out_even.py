"""RLC0403 (PAR-02): groups of shards and the parts in which weights are kept divide what they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, compiled

SHARDED: Changes = {"train.engine.name": '"fsdp2"', "train.engine.fsdp2.activation_checkpointing": '"full"'}


def sharded(**settings: str) -> Changes:
    return {**SHARDED, **{f"train.engine.fsdp2.{name}": value for name, value in settings.items()}}


@pytest.mark.parametrize(("groups", "fits"), [("1", True), ("4", True), ("8", True), ("3", False), ("16", False)])
def test_groups_divide_the_copies(tmp_path: Path, groups: str, fits: bool) -> None:
    assert ("RLC0403" not in codes(tmp_path, sharded(dp_replicate_size=groups), base=GPU)) == fits


@pytest.mark.parametrize(
    ("kept", "groups", "fits"),
    [
        ("true", "8", True),
        ("false", "1", True),
        ("2", "1", True),
        ("4", "1", True),
        ("1", "1", False),
        ("8", "1", False),
        ("3", "1", False),
        ("4", "2", False),  # a group has four
        ("2", "2", True),
    ],
)
def test_parts_divide_the_shards_of_a_group_and_are_neither_one_nor_all(
    tmp_path: Path, kept: str, groups: str, fits: bool
) -> None:
    changes = sharded(reshard_after_forward=kept, dp_replicate_size=groups)
    assert ("RLC0403" not in codes(tmp_path, changes, base=GPU)) == fits


def test_parts_of_a_sequence_are_shards_too(tmp_path: Path) -> None:
    """Four copies of two parts each are eight shards."""
    changes: Changes = {**sharded(reshard_after_forward="4"), "parallel.cp": "2"}
    assert "RLC0403" not in codes(tmp_path, changes, base=GPU)


@pytest.mark.parametrize("changes", [sharded(dp_replicate_size="3"), sharded(reshard_after_forward="5")])
def test_every_way_out_comes_out_even(tmp_path: Path, changes: Changes) -> None:
    ways = [w.sets for d in compiled(tmp_path, changes, base=GPU).diagnostics for w in d.help]
    assert ways
    for sets in ways:
        assert "RLC0403" not in codes(tmp_path, {**changes, **dict(sets)}, base=GPU)
