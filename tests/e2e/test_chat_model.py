"""A Hugging Face directory with a chat template, trained on conversations, judged by `math`, killed and resumed."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tests.support.processes import Server
from tests.support.run_directory import newest_checkpoint, results_of, rows_of

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)

SPEC = """rlc = 1
name = "chat"
model.hf = "model"
reward.name = "math"
eval.interval = 100

[cluster]
target = "cpu"
cpu_threads = 1

[rollout]
max_prompt_tokens = 40
max_response_tokens = 3

[[data.train]]
path = "chats.jsonl"
input_key = "messages"
label_key = "answer"

[[eval.sets]]
name = "wrapped"
path = "texts.jsonl"
apply_chat_template = true

[[stages]]
name = "sft"
use = ["//recipes:sft"]
run.max_steps = 12
train.global_batch = 4
optim.lr = 3e-2

[[stages]]
name = "grpo"
use = ["//recipes:grpo"]
run.max_steps = 4
rollout.prompts_per_step = 3
rollout.samples_per_prompt = 4
train.global_batch = 12
optim.lr = 1e-3
checkpoint.interval = 2
"""


def test_a_chat_model_is_trained_from_its_directory_and_a_kill_changes_nothing(server: Server, tmp_path: Path) -> None:
    _write_model(tmp_path / "model")
    _write_data(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    ended = server.run("run", "spec.toml", "--run-dir", "whole", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    killed = server.start("run", "spec.toml", "--run-dir", "killed", cwd=tmp_path, gate=("backward", 15))
    assert killed.reaches_its_gate()
    killed.signal(signal.SIGKILL)
    killed.wait()
    assert newest_checkpoint(tmp_path / "killed").name == "step_000014"
    assert server.run("run", "spec.toml", "--run-dir", "killed", cwd=tmp_path).code == 0
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "whole")
    _check_results(tmp_path / "whole")


def _check_results(run_dir: Path) -> None:
    rows = rows_of(run_dir)
    measured = [row["eval/wrapped/greedy"] for row in rows if "eval/wrapped/greedy" in row]
    assert (measured[0], measured[-1]) == (0, 1)
    assert any(row["train/grad_norm"] > 0 for row in rows if row.get("reward/std", 0) > 0)
    first = (run_dir / "transcripts" / "stage_grpo_step_000001.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["prompt"].startswith("[system]Add.<eos>\n[user]")
    assert json.loads(first)["prompt"].endswith("<eos>\n[assistant]")
    # What a run leaves is a model directory like the one that it started from, for any tool of that world.
    left = newest_checkpoint(run_dir)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(left), local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(str(left), local_files_only=True)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "3+4"}], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    answer = model.generate(input_ids=asked, max_new_tokens=3, do_sample=False)[0, asked.shape[1] :]
    assert tokenizer.decode(answer) == "7<eos>"


def _write_model(directory: Path) -> None:
    """Write a random model and a byte-level tokenizer with a chat template, as transformers writes them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(str(directory))
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(letters) + 1,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        eos_token_id=len(letters),
    )
    Qwen3ForCausalLM(config).save_pretrained(str(directory))


def _write_data(folder: Path) -> None:
    sums = [f"{a}+{7 - a}" for a in range(8)]
    chats = [
        {"messages": [{"role": "system", "content": "Add."}, {"role": "user", "content": s}], "answer": "7"}
        for s in sums[:6]
    ]
    texts = [{"input": s, "label": 7} for s in sums[6:]]
    for name, rows in (("chats.jsonl", chats), ("texts.jsonl", texts)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
