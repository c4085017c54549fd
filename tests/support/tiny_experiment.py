"""A two-stage experiment that runs in a second: a model of some thousand parameters, sums of one digit, 14 steps."""

from __future__ import annotations

from pathlib import Path

MODEL = """
[model]
weights = "random"
family = "qwen3"
qk_norm = "head"
num_layers = 1
hidden_size = 16
intermediate_size = 16
num_heads = 2
num_kv_heads = 1
head_dim = 8
vocab_size = 16
max_position_tokens = 16
rope_base = 10_000.0
norm_eps = 1e-6
tie_embeddings = true

[model.tokenizer]
kind = "characters"
alphabet = "0123456789+="
"""

SPEC = f"""rlc = 1
name = "tiny"
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[rollout]
max_prompt_tokens = 4
max_response_tokens = 3

[reward]
name = "judge.py:reward"

[[data.train]]
path = "sums.jsonl"

[[eval.sets]]
name = "heldout"
path = "heldout.jsonl"

[eval]
correct_at = 0.2

# Which checkpoints are there when a run is killed is then a function of where it is.
[checkpoint]
asynchronous = false

[[stages]]
name = "sft"
use = ["//recipes:sft"]
run.max_steps = 6
train.global_batch = 4
optim.lr = 1e-2
eval.interval = 4
eval.at_start = false
checkpoint.interval = 2

[[stages]]
name = "grpo"
use = ["//recipes:grpo"]
run.max_steps = 8
rollout.prompts_per_step = 4
rollout.samples_per_prompt = 4
train.global_batch = 8
optim.lr = 1e-2
loss.kl.estimator = "k3"
loss.kl.coef = 0.1
eval.interval = 3
checkpoint.interval = 2
"""

# Rewards that differ within almost every group, so that every step moves the weights.
JUDGE = '''"""Judges a sum."""


def reward(sample):
    """Return 1 for the right answer, else a little for each digit."""
    if sample.text == sample.prompt.label:
        return 1.0
    return 0.1 * sum(character.isdigit() for character in sample.text)
'''


def write_experiment(folder: Path, *, spec: str = SPEC) -> Path:
    """Write the spec and what it names into a folder, and return where the spec is."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = [(a, b) for a in range(5) for b in range(5)]
    rows = [f'{{"input": "{a}+{b}=", "label": "{a + b}"}}\n' for a, b in sums]
    (folder / "sums.jsonl").write_text("".join(rows[:20]), encoding="utf-8")
    (folder / "heldout.jsonl").write_text("".join(rows[20:]), encoding="utf-8")
    (folder / "judge.py").write_text(JUDGE, encoding="utf-8")
    path = folder / "spec.toml"
    path.write_text(spec, encoding="utf-8")
    return path
