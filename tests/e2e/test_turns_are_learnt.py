"""A task that takes two turns is learnt: the environment says a letter, and the second turn has to repeat it.

The prompt does not tell which letter, the first turn earns nothing, and a policy of random weights repeats one of four
letters in about one of sixteen episodes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL

pytestmark = pytest.mark.torch

STEPS, EPISODES = 24, 64
SPEC = f"""rlc = 1
name = "echo"
use = ["//recipes:grpo"]
{MODEL.replace("max_position_tokens = 16", "max_position_tokens = 32")}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = {STEPS}

[rollout]
max_prompt_tokens = 2
max_response_tokens = 1
prompts_per_step = 8
samples_per_prompt = 8

[environment]
name = "echo.py:begin"
max_turns = 2
max_observation_tokens = 16
stop_strings = {json.dumps(list("0123456789+="))}

[reward]
name = "environment"

[train]
global_batch = {EPISODES}

[optim]
lr = 2e-2

[[data.train]]
path = "letters.jsonl"
metadata_key = "letter"
"""
ECHO = """from stdlib.episodes import Observation


class Echo:
    def __init__(self, letter):
        self.letter = letter

    def step(self, turn):
        if turn.index == 0:
            return Observation(text=self.letter)
        return Observation(is_done=True, reward=float(turn.text == self.letter))


def begin(context):
    return Echo(context.prompt.metadata)
"""


def test_what_the_second_turn_earns_is_learnt(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    rows = [{"input": "1=", "label": "", "letter": "2579"[number % 4]} for number in range(16)]
    (tmp_path / "letters.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "spec.toml").write_text(SPEC)
    found = compile_spec(tmp_path / "spec.toml", scan())
    assert found.plan is not None, [d.message for d in found.diagnostics]
    run_plan(found.plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO()))
    steps = [row for row in rows_of(tmp_path / "run") if "train/loss" in row]
    earned = [row["reward/mean"] for row in steps]
    assert len(steps) == STEPS
    assert sum(earned[:3]) / 3 < 0.3
    assert sum(earned[-3:]) / 3 > 0.9
    for row in steps:
        # A turn is one token: each is trained, and none of the letters between two of them.
        assert row["train/num_tokens"] == pytest.approx(row["rollout/turns_mean"] * EPISODES)
        observed = row["rollout/observation_tokens_mean"]
        assert observed == pytest.approx(row["rollout/turns_mean"] - 1)
        assert observed > 0.5
