"""The good spec as people lay it out, in both syntaxes: for tests of what edits texts."""

from __future__ import annotations

GOOD = """\
rlc = 1
name = "case"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_response_tokens = 16

[reward]
name = "exact"

[train]
global_batch = 32  # 4 x 8

[[data.train]]
path = "train.jsonl"
"""
STAR = """\
experiment(
    name = "case",
    use = ["//recipes:grpo"],
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 10),
    rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
    reward = dict(name = "exact"),
    train = dict(global_batch = 32),
    data = dict(train = [dict(path = "train.jsonl")]),
)
"""
