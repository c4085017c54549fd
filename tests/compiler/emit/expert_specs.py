"""A spec of a model of experts, whose routing is replayed and whose further tokens are learnt."""

from __future__ import annotations

FURTHER_TOKENS = """rlc = 1
name = "sums"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"
family = "glm4_moe"
num_mtp_layers = 1
weights = "random"

[model.moe]
num_experts = 4
experts_per_token = 2
expert_size = 32
shared_expert_size = 32
score = "sigmoid"
expert_bias = true

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_response_tokens = 16

[rollout.speculation]
method = "mtp"
num_draft_tokens = 2

[reward]
name = "exact"

[train]
global_batch = 32
routing_replay = "rollout"

[train.mtp]
trains_trunk = true

[[data.train]]
path = "train.jsonl"
"""
