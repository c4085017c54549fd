"""RLC0402 (MEM-06): all that lies on a GPU at the fullest moment of a phase, and ways out that the model has solved."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic
from tests.support.good_spec import GPU, MOE, RECOMPUTED, Changes, codes, compiled

# 16,384 tokens at once, nothing recomputed, on 80 GB.
LONG: Changes = {
    "model.name": '"//models:qwen3_8b"',
    "parallel.tp": "2",
    "rollout.max_prompt_tokens": '"1Ki"',
    "rollout.max_response_tokens": '"15Ki"',
    "train.packing.tokens": '"32Ki"',
}


def only(folder: Path, changes: Changes, base: dict[str, str] = GPU) -> Diagnostic:
    (found,) = (d for d in compiled(folder, changes, base=base).diagnostics if d.code == "RLC0402")
    return found


def test_what_is_kept_of_a_long_micro_batch_does_not_fit(tmp_path: Path) -> None:
    found = only(tmp_path, LONG)
    assert found.message.startswith("train takes ")
    assert "of a GPU, which has 79.6 GiB: " in found.message
    assert "of feed-forward" in found.message
    assert found.is_judgement


@pytest.mark.parametrize(
    "less",
    [
        RECOMPUTED,
        {"train.packing.tokens": '"16Ki"'},
        {"parallel.tp": "8"},
        {"parallel.cp": "4"},
        {"cluster.gpus_per_node": '"8xB200-180"'},
    ],
)
def test_each_of_what_people_turn_to_makes_it_fit(tmp_path: Path, less: Changes) -> None:
    assert codes(tmp_path, {**LONG, **less}, base=GPU) == []


@pytest.mark.parametrize("base", [GPU, MOE])
def test_every_way_out_fits_and_says_what_it_saves(tmp_path: Path, base: dict[str, str]) -> None:
    changes: Changes = LONG if base is GPU else {**LONG, "model.name": MOE["model.name"], "parallel.ep": "8"}
    if base is MOE:
        changes |= {"cluster.nodes": "2"}
    found = only(tmp_path, changes, base)
    assert found.help
    for way in found.help:
        assert "saves" in way.text
        assert "RLC0402" not in codes(tmp_path, {**changes, **dict(way.sets)}, base=base)


def test_recomputation_and_a_larger_axis_are_proposed_together_where_neither_is_enough(tmp_path: Path) -> None:
    changes: Changes = {
        **LONG,
        "model.name": '"//models:qwen3_14b"',
        "parallel.tp": "1",
        "train.packing.tokens": '"64Ki"',
        "cluster.gpus_per_node": '"8xA100-80-SXM"',
        "train.vocab_chunk": "151936",
    }
    ways = only(tmp_path, changes).help
    assert any({path for path, _ in way.sets} >= {"parallel.tp"} for way in ways)
    assert all("RLC0402" not in codes(tmp_path, {**changes, **dict(way.sets)}, base=GPU) for way in ways)


def test_a_share_for_the_engine_that_leaves_no_room_is_lowered(tmp_path: Path) -> None:
    given: Changes = {"rollout.engine.sglang.mem_fraction_static": "0.98"}
    found = only(tmp_path, given)
    assert found.message.startswith("rollout takes ")
    (way,) = found.help
    assert [path for path, _ in way.sets] == ["rollout.engine.sglang.mem_fraction_static"]
    assert codes(tmp_path, {**given, **dict(way.sets)}, base=GPU) == []


def test_rows_of_which_nothing_says_how_long_they_are_are_left_to_the_data(tmp_path: Path) -> None:
    """The bound is the model's 40,960 positions then; whoever writes a budget is told."""
    assert codes(tmp_path, {}, base=GPU) == []
    assert "RLC0402" in codes(tmp_path, {"train.packing.tokens": '"64Ki"'}, base=GPU)


def test_who_knows_better_gives_a_reason(tmp_path: Path) -> None:
    allow: Changes = {"allow": '[{ rule = "MEM-06", why = "measured: 71 GiB" }]'}
    assert codes(tmp_path, {**LONG, **allow}, base=GPU) == []
