"""A tiny model that calls a tool: trained on one call for each prompt, as any model is, until it says them.

A model of random weights calls nothing; this one answers the prompt `3` with `[look(kind=3)]`, each digit with its own.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from transformers.utils.chat_template_utils import get_json_schema

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import newest_checkpoint

BYTES_MODEL = """
[model]
weights = "random"
family = "qwen3"
qk_norm = "head"
num_layers = 1
hidden_size = 32
intermediate_size = 32
num_heads = 2
num_kv_heads = 1
head_dim = 16
vocab_size = 258
max_position_tokens = 512
rope_base = 10_000.0
norm_eps = 1e-6
tie_embeddings = true

[model.tokenizer]
kind = "bytes"
"""
_SPEC = f"""rlc = 1
name = "caller"
use = ["//recipes:sft"]
{BYTES_MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 100

[train]
global_batch = 6

[optim]
lr = 2e-2

[[data.train]]
path = "calls.jsonl"
tools_key = "tools"
apply_chat_template = true
"""


def look(kind: int) -> str:
    """Look.

    Args:
        kind: K.
    """
    return str(kind)


# What the model says to each prompt: calls, a call that cannot be read, and no call.
SAID = {str(kind): f"[look(kind={kind})]" for kind in range(4)} | {"4": "[look(kind=4]", "5": "no"}
# Each is asked for by a prompt of many equal digits, which a model of one layer tells apart within few steps.
KINDS = tuple(digit * 24 for digit in SAID)


def write_caller(folder: Path) -> Path:
    """Train the model below a folder, and return the directory with its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"input": asked, "label": said, "tools": [get_json_schema(look)]}
        for asked, said in zip(KINDS, SAID.values(), strict=True)
    ]
    (folder / "calls.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "spec.toml").write_text(_SPEC, encoding="utf-8")
    found = compile_spec(folder / "spec.toml", scan())
    assert found.plan is not None, [d.message for d in found.diagnostics]
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return newest_checkpoint(folder / "run")
