"""RLC0357 (ALGO-09): a bound of logits stands where logits are computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan

STAGE = """rlc = 1
name = "good"
[model]
name = "//models:tiny_qwen3"
[cluster]
target = "cpu"
[run]
max_steps = 2
[train]
global_batch = 4
"""
LIST = """
[[stages]]
name = "imitate"
use = ["//recipes:sft"]
data.train = [{ path = "train.jsonl" }]
[[stages]]
name = "judge"
use = ["//recipes:reward_model_bt"]
data.train = [{ path = "pairs.jsonl" }]
"""
ALONE = STAGE.replace("[model]", 'use = ["//recipes:reward_model_bt"]\n[model]') + '[[data.train]]\npath = "p.jsonl"\n'
CHUNK = "vocab_chunk = 8\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ALONE, []),
        (ALONE.replace("global_batch = 4\n", "global_batch = 4\n" + CHUNK), ["RLC0357"]),
        (STAGE + LIST, []),
        (STAGE + CHUNK + LIST, []),
        (STAGE + LIST + "train.vocab_chunk = 8\n", ["RLC0357"]),
    ],
)
def test_a_reward_model_bounds_no_logits(tmp_path: Path, spec: str, expected: list[str]) -> None:
    (tmp_path / "spec.toml").write_text(spec, encoding="utf-8")
    assert [d.code for d in compile_spec(tmp_path / "spec.toml", scan()).diagnostics] == expected
