"""A spec of engines of two kinds behind a router, with a judge on GPUs of its own."""

from __future__ import annotations

PAIRED = """\
rlc = 1
name = "paired"
use = ["//recipes:grpo"]

[model]
name = "//models:qwen3_4b"
weights = "weights"

[cluster]
target = "cuda"
nodes = 2
gpus_per_node = "8xH200-141-SXM"

[placement]
mode = "split"
train_gpus = 8
gpus_per_engine = 2

[placement.disaggregation]
prefill_engines = 1
prefill_gpus_per_engine = 4
transfer_backend = "nixl"

[placement.router]
policy = "cache_aware"
port = 12000

[placement.judge]
weights = "judge"
weights_gib = 30.5
gpus = 2
gpus_per_engine = 2

[parallel]
tp = 2
etp = 1

[run]
max_steps = 10

[rollout]
prompts_per_step = 128
samples_per_prompt = 8
max_response_tokens = "2Ki"
max_context_tokens = "4Ki"

[train]
global_batch = 1024
precision = "bf16"
packing.tokens = "8Ki"

[reward]
name = "judge"

[reward.judge]
url = "http://{judge}/v1/chat/completions"
model = "a-judge"

[[data.train]]
path = "problems.jsonl"
"""
