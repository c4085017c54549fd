"""RLC0524 (TOK-05): how many tokens vLLM takes in at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, RECOMPUTED, Changes, messages

VLLM: Changes = {**RECOMPUTED, "rollout.engine.name": '"vllm"', "rollout.max_context_tokens": "4096"}
AT_ONCE = "rollout.engine.vllm.max_num_batched_tokens"


@pytest.mark.parametrize(
    ("tokens", "pieces", "needs"),
    [(4096, "false", None), (4095, "false", "4,096"), (4095, "true", None), (4095, None, None), (255, "true", "256")],
)
def test_a_sequence_is_taken_in_whole_or_in_pieces(
    tmp_path: Path, tokens: int, pieces: str | None, needs: str | None
) -> None:
    changes: Changes = {**VLLM, AT_ONCE: str(tokens), "rollout.engine.vllm.enable_chunked_prefill": pieces}
    found = messages(tmp_path, changes, base=GPU)
    assert found == ([] if needs is None else [f"the engine takes in {tokens:,} tokens at once and needs {needs}"])


def test_an_engine_that_is_not_told_chooses(tmp_path: Path) -> None:
    assert messages(tmp_path, {**VLLM, "rollout.engine.vllm.enable_chunked_prefill": "false"}, base=GPU) == []
