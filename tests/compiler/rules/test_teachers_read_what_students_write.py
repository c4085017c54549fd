"""RLC0345 (DISTILL-01): model and teacher speak of the same tokens, and the teacher reads as far as samples go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GRPO, Changes, codes

TAUGHT: Changes = {
    "use": '["//recipes:on_policy_distillation"]',
    "reward.name": None,
    "teacher.name": '"//models:tiny_qwen3"',
    "teacher.weights": '"somewhere"',
}


def found(folder: Path, changes: Changes) -> list[str]:
    return codes(folder, {**TAUGHT, **changes}, base=GRPO)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"teacher.num_layers": "7", "teacher.num_heads": "2", "teacher.num_kv_heads": "2"}, []),
        ({"teacher.vocab_size": "53"}, ["RLC0345"]),
        ({"teacher.vocab_size": "53", "model.vocab_size": "53"}, []),
        ({"teacher.tokenizer.alphabet": '"0123456789"'}, ["RLC0345"]),
        ({"teacher.tokenizer.kind": '"bytes"', "teacher.vocab_size": "258"}, ["RLC0345", "RLC0345"]),
    ],
)
def test_the_same_tokens(tmp_path: Path, changes: Changes, expected: list[str]) -> None:
    assert found(tmp_path, changes) == expected


@pytest.mark.parametrize(("most", "expected"), [("32", []), ("31", ["RLC0345"])])
def test_positions_reach_as_far_as_samples(tmp_path: Path, most: str, expected: list[str]) -> None:
    lengths: Changes = {"rollout.max_prompt_tokens": "16", "teacher.max_position_tokens": most}
    assert found(tmp_path, lengths) == expected


@pytest.mark.parametrize(("weights", "is_missing"), [(None, True), ('"somewhere"', False)])
def test_a_teacher_has_weights(tmp_path: Path, weights: str | None, is_missing: bool) -> None:
    changes: Changes = {"teacher.name": '"//models:qwen3_0_6b"', "teacher.weights": weights}
    assert ("RLC0205" in found(tmp_path, changes)) is is_missing


def test_a_teacher_that_the_engines_do_not_know_is_named(tmp_path: Path) -> None:
    assert found(tmp_path, {"teacher.family": '"kimi_k2"'}) == ["RLC0502"]


def test_a_teacher_is_read_by_what_learns_from_one(tmp_path: Path) -> None:
    assert codes(tmp_path, {"teacher.name": '"//models:tiny_qwen3"'}) == ["RLC0202"]


@pytest.mark.parametrize(("topk", "expected"), [("52", []), ("53", ["RLC0345"])])
def test_no_more_of_the_most_likely_tokens_are_asked_for_than_there_are(
    tmp_path: Path, topk: str, expected: list[str]
) -> None:
    assert found(tmp_path, {"loss.topk": topk}) == expected
