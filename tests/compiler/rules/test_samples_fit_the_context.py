"""RLC0307 (TOK-01): prompt + response <= context <= 512, the positions of the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import SFT, Changes, codes, compiled


@pytest.mark.parametrize(
    ("prompt", "response", "context", "fits"),
    [
        (None, 511, None, True),
        (None, 512, None, False),
        (None, 15, 16, True),
        (None, 16, 16, False),
        (496, 16, None, True),
        (497, 16, None, False),
        (48, 16, 64, True),
        (49, 16, 64, False),
        (496, 16, 512, True),
        (16, 16, 512, True),
        (16, 16, 513, False),
        (600, 16, 700, False),
        (16, 600, 700, False),
        (600, 600, 700, False),
        (None, 600, 700, False),
        (None, 16, 700, False),
        (64, 16, 64, False),
        (None, 2, 2, False),
    ],
)
def test_what_fits_and_what_not_and_every_fix_fits(
    tmp_path: Path, prompt: int | None, response: int, context: int | None, fits: bool
) -> None:
    changes: Changes = {"rollout.max_response_tokens": str(response)}
    if prompt is not None:
        changes["rollout.max_prompt_tokens"] = str(prompt)
    if context is not None:
        changes["rollout.max_context_tokens"] = str(context)
    found = compiled(tmp_path, changes).diagnostics
    assert [d.code for d in found] == ([] if fits else ["RLC0307"])
    for way in (way for d in found for way in d.help):
        assert codes(tmp_path, {**changes, **dict(way.sets)}) == []


def test_a_supervised_stage_that_evaluates_has_samples_too(tmp_path: Path) -> None:
    changes: Changes = {
        "eval.sets": '[{ name = "heldout", path = "heldout.jsonl" }]',
        "reward.name": '"exact"',
        "rollout.max_response_tokens": "512",
    }
    assert codes(tmp_path, changes, base=SFT) == ["RLC0307"]
    assert codes(tmp_path, {**changes, "rollout.max_response_tokens": "511"}, base=SFT) == []
