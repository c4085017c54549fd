"""A running job whose environments fail: each failure has a counter, a code, a policy, and costs nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from runtime.evaluate_plan import Choice, evaluate_plan
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL

pytestmark = pytest.mark.torch

BYTES = MODEL.replace('"characters"', '"bytes"').replace('alphabet = "0123456789+="', "")
BYTES = BYTES.replace("vocab_size = 16", "vocab_size = 258").replace("tokens = 16", "tokens = 1024")
# Any of these bytes ends a turn, so that a random policy has several.
STOPS = ", ".join(json.dumps(chr(byte)) for byte in range(32, 127))
SPEC = f"""rlc = 1
name = "episodes"
use = ["//recipes:grpo"]
{BYTES}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 2

[rollout]
max_prompt_tokens = 64
max_response_tokens = 40
prompts_per_step = 6
samples_per_prompt = 2

[environment]
name = "play.py:begin"
max_turns = 3
max_observation_tokens = 32
episode_timeout_s = 1.5
stop_strings = [{STOPS}]

[reward]
name = "environment"

[train]
global_batch = 12

[optim]
lr = 1e-2

[data]
shuffle = false

[[data.train]]
path = "kinds.jsonl"
apply_chat_template = true

[[eval.sets]]
name = "heldout"
path = "kinds.jsonl"
apply_chat_template = true
max_prompts = 1

[checkpoint]
interval = 1
"""
PLAY = """
import asyncio
from stdlib.episodes import Observation


class Episode:
    def __init__(self, kind, is_evaluation):
        self.kind, self.is_evaluation = kind, is_evaluation

    async def step(self, turn):
        if self.is_evaluation:
            return Observation(is_done=True, reward=1.0)
        if self.kind == "slow":
            await asyncio.sleep(60)
        if self.kind == "raises":
            raise RuntimeError("broken")
        if self.kind == "large":
            return Observation(text="x" * 10_000_000, reward=len(turn.text) % 3)
        if self.kind == "wrong":
            return None
        if self.kind == "short":
            return Observation(is_done=True, reward=len(turn.text) % 2)
        return Observation(messages=({"role": "tool", "content": "go on"},), reward=len(turn.text) % 5)


def begin(context):
    return Episode(context.prompt.messages[-1]["content"], context.is_evaluation)
"""
KINDS = ("endless", "slow", "raises", "large", "wrong", "short")


def run(folder: Path, *overrides: str, run_dir: str = "run") -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    (folder / "play.py").write_text(PLAY)
    (folder / "kinds.jsonl").write_text("".join(f'{{"input": "{kind}", "label": ""}}\n' for kind in KINDS))
    (folder / "spec.toml").write_text(SPEC)
    found = compile_spec(folder / "spec.toml", scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    stream = io.StringIO()
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / run_dir, stream=stream))
    (folder / "shown.txt").write_text(stream.getvalue())
    return rows_of(folder / run_dir)


def test_every_failure_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    rows = [row for row in run(tmp_path) if "rollout/episodes" in row]
    for row in rows:
        assert row["rollout/episodes"] == 12
        assert row["rollout/episode_failures"] == 4
        assert row["rollout/episode_timeouts"] == 2
        assert row["rollout/truncated_observations"] >= 2
        assert row["rollout/episodes_at_max_turns"] >= 1
        # What was sampled is what is trained: both sides give every token of several turns the same log-prob.
        assert abs(row["train/logprob_gap"]) < 1e-4
    assert len(rows) == 2
    shown = (tmp_path / "shown.txt").read_text()
    assert "RLC0743: stage main, step 1: 4 episode failures" in shown
    assert "RLC0744: stage main, step 1: 2 episode timeouts" in shown
    assert "RLC0750: stage main, step 1" in shown
    assert "tool: go on" in shown


def test_transcripts_hold_every_turn_and_how_an_episode_ended(tmp_path: Path) -> None:
    run(tmp_path, "log.transcripts_per_step=12")
    lines = (tmp_path / "run/transcripts/stage_main_step_000001.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    ended = {row["prompt"].split("user: ")[1].split("\n")[0]: row["ended_by"] for row in told}
    assert ended["slow"] == "timeout"
    assert ended["raises"] == ended["wrong"] == "failure"
    assert ended["short"] in ("environment", "cut")
    assert any(len(row["turns"]) == 5 for row in told)
    assert all(row["num_turns"] <= 3 for row in told)


def test_an_evaluation_has_the_same_environment_and_tells_it_so(tmp_path: Path) -> None:
    measured = [row for row in run(tmp_path) if "eval/heldout/num_prompts" in row]
    assert measured
    assert all(row["eval/heldout/turns_mean"] == 1 for row in measured)


GENERATE = """
async def generate(policy):
    first = await policy.turn()
    policy.observe(text="measured" if policy.is_evaluation else "trained")
    await policy.turn()
    if policy.is_evaluation:
        return 0.5 if policy.sampling.temperature == 0 else 1.0
    return -1.0 - len(first.text) % 5
"""


def test_a_generate_function_is_told_whether_it_evaluates_and_is_measured(tmp_path: Path) -> None:
    named = 'environment.name="generate.py:generate"'
    tmp_path.joinpath("generate.py").write_text(GENERATE)
    # A turn that ends without a stop ends its episode: half of the rows would else be cut.
    sizes = ("rollout.max_response_tokens=100", "eval.correct_at=0.75", "log.transcripts_per_step=12")
    rows = run(tmp_path, named, *sizes, "eval.sets[0].greedy=true", "eval.sets[0].max_prompts=6")
    trained = [row for row in rows if "train/loss" in row]
    assert all(row["reward/mean"] < 0 for row in trained)
    written = (tmp_path / "run/transcripts/stage_main_step_000001.jsonl").read_text()
    said = [message["content"] for line in written.splitlines() for message in json.loads(line)["turns"]]
    assert "trained" in said
    assert "measured" not in said
    measured = [row for row in rows if "eval/heldout/accuracy" in row]
    assert [row["eval/heldout/accuracy"] for row in measured] == [1.0] * len(measured)
    assert [row["eval/heldout/greedy"] for row in measured] == [0.0] * len(measured)
    plan = compile_spec(tmp_path / "spec.toml", scan(), overrides=(named, *sizes)).plan
    assert plan is not None
    alone = evaluate_plan(plan, None, Choice(), root=tmp_path)
    assert alone.metrics["eval/heldout/accuracy"] == 1.0


@pytest.mark.parametrize(("kind", "code"), [("slow", "RLC0744"), ("raises", "RLC0743"), ("wrong", "RLC0743")])
def test_a_failure_ends_the_run_where_the_plan_says_so(tmp_path: Path, kind: str, code: str) -> None:
    place = f"{KINDS.index(kind)}:{KINDS.index(kind) + 1}"
    stops = 'environment.on_episode_failure="stop"'
    with pytest.raises(SpecError, match=code):
        run(tmp_path, stops, f'data.train[0].rows="{place}"')


def test_a_run_that_is_continued_takes_the_steps_that_it_would_have_taken(tmp_path: Path) -> None:
    quick = 'data.train[0].rows="5:6"'
    whole = run(tmp_path / "whole", quick, "run.max_steps=4")
    run(tmp_path / "parts", quick, "run.max_steps=2")
    parts = run(tmp_path / "parts", quick, "run.max_steps=4")

    def steps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        trained = [row for row in rows if "train/loss" in row]
        return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in trained]

    assert len(steps(whole)) == 4
    assert steps(parts) == steps(whole)


def test_recorded_episodes_are_trained_on_again_with_what_counts_in_them(tmp_path: Path) -> None:
    sampled = run(tmp_path, "debug.record=true")
    again = run(tmp_path, 'debug.mode="train_only"', 'debug.replay="run/rollouts/main"', run_dir="again")

    def trained(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
        return [(row["train/loss"], row["train/num_tokens"]) for row in rows if "train/loss" in row]

    assert len(trained(sampled)) == 2
    assert trained(again) == trained(sampled)
