"""Exactness: how long tools and environments take changes no byte of the metrics and the weights of a run.

With `rollout.engine.deterministic` a turn is what it is beside any others, and it draws from the stream of its own
sample; so the order in which turns come to the engine does not matter.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import Results, results_of
from tests.support.tiny_experiment import MODEL

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "slow"
use = ["//recipes:grpo"]
{MODEL.replace("max_position_tokens = 16", "max_position_tokens = 64")}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 3

[rollout]
max_prompt_tokens = 2
max_response_tokens = 4
prompts_per_step = 4
samples_per_prompt = 4

[rollout.engine]
deterministic = true

[environment]
name = "play.py:begin"
max_turns = 3
max_observation_tokens = 16
stop_strings = {json.dumps(list("02468+="))}

[reward]
name = "environment"

[train]
global_batch = 16

[optim]
lr = 2e-2

[[data.train]]
path = "rows.jsonl"

[[eval.sets]]
name = "heldout"
path = "rows.jsonl"

[log]
transcripts_per_step = 16
"""
PLAY = """import asyncio
import random

from stdlib.episodes import Observation


class Play:
    async def step(self, turn):
        await asyncio.sleep(WAIT)
        return Observation(text=str(len(turn.text)), reward=turn.text.count("3") + turn.text.count("4"))


def begin(context):
    return Play()
"""


def run(folder: Path, wait: str) -> Results:
    folder.mkdir()
    # The clock and not the seed of a plan: every run sleeps otherwise.
    (folder / "play.py").write_text(PLAY.replace("WAIT", wait))
    (folder / "rows.jsonl").write_text("".join(f'{{"input": "{n}=", "label": ""}}\n' for n in range(8)))
    (folder / "spec.toml").write_text(SPEC)
    found = compile_spec(folder / "spec.toml", scan())
    assert found.plan is not None, [d.message for d in found.diagnostics]
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return results_of(folder / "run")


def test_a_run_with_slow_tools_is_the_run_with_quick_ones(tmp_path: Path) -> None:
    quick = run(tmp_path / "quick", "0")
    slow = run(tmp_path / "slow", "random.SystemRandom().uniform(0, 0.02)")
    assert all(row["rollout/turns_mean"] > 1.5 for row in quick.rows if "train/loss" in row)
    assert slow.rows == quick.rows
    assert slow.transcripts == quick.transcripts
    assert slow.weights == quick.weights
