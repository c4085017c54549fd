"""RLC0374 (EVAL-05): a prompt and an evaluated response fit the context."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import Changes, codes, compiled

SETS: Changes = {
    "eval.sets": '[{ name = "held", path = "h.jsonl" }]',
    "rollout.max_prompt_tokens": "100",
    "rollout.max_context_tokens": "150",
}


def test_the_last_response_that_fits_and_the_first_that_does_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {**SETS, "eval.max_response_tokens": "50"}) == []
    assert codes(tmp_path, {**SETS, "eval.max_response_tokens": "51"}) == ["RLC0374"]


def test_each_way_out_is_one(tmp_path: Path) -> None:
    changes = {**SETS, "eval.max_response_tokens": "51"}
    (found,) = compiled(tmp_path, changes).diagnostics
    assert len(found.help) == 2
    for way in found.help:
        assert codes(tmp_path, {**changes, **dict(way.sets)}) == []


def test_what_a_set_inherits_from_the_rollout_is_judged_there(tmp_path: Path) -> None:
    assert codes(tmp_path, {**SETS, "rollout.max_response_tokens": "51"}) == ["RLC0307"]
