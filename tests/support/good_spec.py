"""A good spec in small pieces, and the codes that its changes raise: what the tests of single rules start from."""

from __future__ import annotations

from pathlib import Path

from compiler.compile import Compiled, compile_spec
from rlc.catalogue import scan

GRPO = {
    "name": '"case"',
    "use": '["//recipes:grpo"]',
    "model.name": '"//models:tiny_qwen3"',
    "cluster.target": '"cpu"',
    "run.max_steps": "10",
    "rollout.prompts_per_step": "4",
    "rollout.samples_per_prompt": "8",
    "rollout.max_response_tokens": "16",
    "reward.name": '"exact"',
    "train.global_batch": "32",
    "data.train": '[{ path = "train.jsonl" }]',
}
SFT = {
    "name": '"case"',
    "use": '["//recipes:sft"]',
    "model.name": '"//models:tiny_qwen3"',
    "cluster.target": '"cpu"',
    "run.max_steps": "10",
    "train.global_batch": "32",
    "data.train": '[{ path = "train.jsonl" }]',
}
GPU = {
    "name": '"case"',
    "use": '["//recipes:grpo"]',
    "model.name": '"//models:qwen3_4b"',
    "model.weights": '"checkpoint"',
    "cluster.target": '"cuda"',
    "cluster.gpus_per_node": '"8xH100-80-SXM"',
    "parallel.etp": "1",  # written, so that the planner chooses nothing
    "run.max_steps": "10",
    "rollout.prompts_per_step": "32",
    "rollout.samples_per_prompt": "8",
    "rollout.max_response_tokens": '"2Ki"',
    "reward.name": '"math"',
    "train.global_batch": "256",
    "train.precision": '"bf16"',
    "data.train": '[{ path = "train.jsonl" }]',
}
# A stage of the same machine that trains on its rows.
ROWS = {
    **{key: value for key, value in GPU.items() if not key.startswith(("rollout.", "reward."))},
    "use": '["//recipes:sft"]',
    "train.packing.tokens": '"4Ki"',
}
MOE = {**GPU, "model.name": '"//models:qwen3_30b_a3b"'}
# What leaves of every layer's activations its input.
RECOMPUTED = {
    "train.engine.megatron.recompute_granularity": '"full"',
    "train.engine.megatron.recompute_method": '"uniform"',
    "train.engine.megatron.recompute_num_layers": "1",
}

Changes = dict[str, str | None]


def spec_text(changes: Changes, *, base: dict[str, str] = GRPO) -> str:
    """Return the good spec with some fields changed, or left out where the change is None: a line for each."""
    fields = {path: value for path, value in {**base, **changes}.items() if value is not None}
    return "".join(f"{path} = {value}\n" for path, value in fields.items())


def compiled(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> Compiled:
    """Compile the good spec with changes."""
    spec = folder / "spec.toml"
    spec.write_text(spec_text(changes, base=base))
    return compile_spec(spec, scan())


def codes(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> list[str]:
    """Return the codes that the changed spec raises; none means that there is a plan."""
    found = compiled(folder, changes, base=base)
    assert (found.plan is None) == any(d.severity == "error" for d in found.diagnostics)
    return [d.code for d in found.diagnostics]


def messages(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> list[str]:
    """Return what the changed spec is told, without labels."""
    return [d.message for d in compiled(folder, changes, base=base).diagnostics]
