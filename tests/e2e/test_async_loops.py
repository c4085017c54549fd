"""Loops whose sampling does not wait for training, in one process: one step off, and asynchronous.

The model is tiny and its responses are long for the engine's rows, so that every step breaks some off.
"""

from __future__ import annotations

import io
import json
import random
import signal
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from runtime.buffer.saved import restored
from runtime.driver import RunPlace, run_plan
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.train.torch_ import TorchTrainer
from runtime.executors import open_executor
from runtime.executors.inline import Actors, weights_at_the_start
from runtime.recording.steps import ROLLOUT, TOKENS
from runtime.stage_job import StageJob
from stdlib.samples import Group, TrainBatch
from tests.support.processes import Server
from tests.support.run_directory import newest_checkpoint, points_of, results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

STEPS = 6
SPEC = f"""rlc = 1
name = "beside"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = {STEPS}

[rollout]
max_prompt_tokens = 4
max_response_tokens = 12
prompts_per_step = 4
samples_per_prompt = 2
concurrency = 6

[reward]
name = "judge.py:reward"

[train]
global_batch = 8

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[debug]
record = true

[[data.train]]
path = "sums.jsonl"
"""
SOME = 'def reward(sample):\n    return sum(c in "024" for c in sample.text) / 12\n'
SAME = "def reward(sample):\n    return 0.5\n"
ONE_OFF = ('schedule.mode="one_step_off"',)
ASYNC = ('schedule.mode="async"', "schedule.max_staleness=2", "rollout.concurrency=14")
FILTER = ('rollout.filter.name="nonzero_std"',)
ROUTED = (
    'model.family="qwen3_moe"',
    "model.num_layers=2",
    "model.moe.num_experts=4",
    "model.moe.experts_per_token=2",
    "model.moe.expert_size=8",
    'train.routing_replay="rollout"',
)


def compiled(folder: Path, *overrides: str, judge: str = SOME) -> Plan:
    spec = write_experiment(folder, spec=SPEC)
    (folder / "judge.py").write_text(judge, encoding="utf-8")
    found = compile_spec(spec, scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def run(folder: Path, *overrides: str, judge: str = SOME) -> list[dict[str, Any]]:
    plan = compiled(folder, *overrides, judge=judge)
    run_plan(plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]


def state_of(run_dir: Path) -> dict[str, Any]:
    return json.loads((newest_checkpoint(run_dir) / "state.json").read_text(encoding="utf-8"))


def recorded(run_dir: Path) -> list[list[Group]]:
    """The groups that each step has trained on."""
    steps = sorted((run_dir / "rollouts" / "main").glob("step_*"))
    told = [json.loads((step / ROLLOUT).read_text(encoding="utf-8"))["groups"] for step in steps]
    pools = [restored(state, load_file(step / TOKENS)) for state, step in zip(told, steps, strict=True)]
    return [[kept.group for kept in pool.finished] for pool in pools]


class KilledError(BaseException):
    """What ends a run at once, as a kill would, but leaves the process."""


def run_until_killed(plan: Plan, folder: Path, passes: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run until one of the places where a kill hurts has been passed so often; return whether it came so far."""
    left = passes
    with monkeypatch.context() as patches:
        for owner, name in ((NativeEngine, "advance"), (TorchTrainer, "step"), (StageJob, "save")):
            kept = getattr(owner, name)

            def passing(*args: Any, kept: Any = kept, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KilledError
                return kept(*args, **kwargs)

            patches.setattr(owner, name, passing)
        try:
            run_plan(plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("further", [ONE_OFF, ASYNC], ids=["one step off", "async"])
def test_every_token_is_of_the_weights_that_it_is_stamped_with(tmp_path: Path, further: tuple[str, ...]) -> None:
    """Oracle: transformers, with the weights of each version out of its checkpoint."""
    plan = compiled(tmp_path, *further)
    run_dir, seen = tmp_path / "run", Counter[int]()
    run_plan(plan, RunPlace(root=tmp_path, run_dir=run_dir, stream=io.StringIO()))
    weights = [weights_at_the_start(plan.experiment, root=tmp_path)]
    weights += [load_file(run_dir / "checkpoints" / f"step_{n:06d}" / "model.safetensors") for n in range(1, STEPS)]
    model = AutoModelForCausalLM.from_pretrained(run_dir / "checkpoints" / "step_000001")
    for step, groups in enumerate(recorded(run_dir)):
        for sample in (sample for group in groups for sample in group.samples):
            prompt, response = sample.segments
            tokens = torch.tensor([[*prompt.tokens, *response.tokens]])
            seen[len(set(response.versions))] += 1
            assert list(response.versions) == sorted(response.versions)
            assert response.versions[0] >= sample.id.step >= step - plan.experiment.stages[0].schedule.lag
            for version in set(response.versions):
                model.load_state_dict(weights[version], strict=False)
                with torch.no_grad():
                    logprobs_TV = torch.log_softmax(model(tokens).logits[0], -1)
                at = torch.arange(len(prompt.tokens) - 1, tokens.shape[1] - 1)
                wanted = logprobs_TV[at, tokens[0, 1:][at]].tolist()
                drawn = [
                    (w, p) for w, p, v in zip(wanted, response.logprobs, response.versions, strict=True) if v == version
                ]
                assert [p for _, p in drawn] == pytest.approx([w for w, _ in drawn], abs=2e-5)
    # Whole batches never change their weights; of groups that flow, some did more than once.
    assert (max(seen) > 1) is (further is ASYNC), seen


@pytest.mark.parametrize("further", [ONE_OFF, ASYNC], ids=["one step off", "async"])
def test_no_group_is_trained_twice_and_no_prompt_is_lost(tmp_path: Path, further: tuple[str, ...]) -> None:
    run(tmp_path, *further)
    names = [(g.samples[0].id.step, g.samples[0].id.group) for groups in recorded(tmp_path / "run") for g in groups]
    assert len(names) == len(set(names)) == 4 * STEPS
    state = state_of(tmp_path / "run")
    # All that was drawn was trained on, and nothing was drawn that nobody needed.
    assert state["data_position"] == 4 * STEPS
    assert state["buffer"] == {"unfinished": [], "finished": [], "used": []}


def test_sampling_is_as_stale_as_the_bound_says_and_no_more(tmp_path: Path) -> None:
    one_off = run(tmp_path / "one_off", *ONE_OFF)
    assert [row["schedule/staleness_mean"] for row in one_off] == [0, *(1 for _ in range(STEPS - 1))]
    flowing = run(tmp_path / "async", *ASYNC)
    assert max(row["schedule/staleness_max"] for row in flowing) == 2
    for row in flowing:
        ages = [row[f"schedule/tokens_{age}_behind_frac"] for age in range(3)]
        assert sum(ages) == pytest.approx(1)
        assert row["schedule/staleness_mean"] == pytest.approx(ages[1] + 2 * ages[2])
    assert any(row["schedule/resumed_tokens"] > 0 for row in flowing)


@pytest.mark.parametrize(
    "further",
    [ONE_OFF, ASYNC, (*ASYNC, *FILTER), (*ONE_OFF, *FILTER), (*ASYNC, *ROUTED)],
    ids=["one step off", "async", "async and filtered", "one step off and filtered", "async, and routing with it"],
)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_never_was(
    tmp_path: Path, further: tuple[str, ...], chaos_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    further = (*further, "checkpoint.interval=2")
    run(tmp_path / "whole", *further)
    plan, draw, kills = compiled(tmp_path / "cut", *further), random.Random(chaos_seed), 0
    while kills < 4 and run_until_killed(plan, tmp_path / "cut", draw.randrange(3, 16), monkeypatch):
        kills += 1
    run(tmp_path / "cut", *further)
    assert kills > 0
    whole, cut = tmp_path / "whole" / "run", tmp_path / "cut" / "run"
    assert results_of(cut) == results_of(whole)
    assert recorded(cut) == recorded(whole)


def test_judging_that_takes_its_time_changes_nothing(tmp_path: Path) -> None:
    # What is sampled must not depend on when judgements come: some take longer than several steps of the engine.
    slow = (
        "import asyncio, zlib\n\n\nasync def reward(sample):\n"
        "    await asyncio.sleep(zlib.crc32(sample.text.encode()) % 7 / 500)\n"
        '    return sum(c in "024" for c in sample.text) // 3 / 4\n'
    )
    quick = 'def reward(sample):\n    return sum(c in "024" for c in sample.text) // 3 / 4\n'
    filtered = (*ASYNC, *FILTER)
    slowly, quickly = (run(tmp_path / name, *filtered, judge=judge) for name, judge in (("a", slow), ("b", quick)))
    assert slowly == quickly
    assert any(row["rollout/filtered_groups"] > 0 for row in slowly)


@pytest.mark.parametrize("further", [ONE_OFF, ASYNC], ids=["one step off", "async"])
def test_a_filter_that_leaves_nothing_ends_as_it_says(tmp_path: Path, further: tuple[str, ...]) -> None:
    filtered = (*further, *FILTER, "rollout.filter.max_refills=1", "run.max_steps=3")
    with pytest.raises(SpecError, match="RLC0690"):
        run(tmp_path / "stop", *filtered, 'rollout.filter.on_shortage="stop"', judge=SAME)
    rows = run(tmp_path / "keep", *filtered, judge=SAME)
    assert rows[0]["rollout/filtered_groups"] == 8
    assert all(row["train/grad_norm"] == 0.0 for row in rows)


@pytest.mark.parametrize("further", [ONE_OFF, ASYNC], ids=["one step off", "async"])
def test_groups_that_could_not_be_judged_are_made_up_for(tmp_path: Path, further: tuple[str, ...]) -> None:
    faulty = SOME.replace("    return", '    assert not sample.text.startswith("5")\n    return')
    rows = run(tmp_path / "some", *further, 'reward.on_failure="drop_group"', judge=faulty)
    assert sum(row["reward/failed"] for row in rows) > 0
    assert [len(groups) for groups in recorded(tmp_path / "some" / "run")] == [4] * STEPS
    with pytest.raises(SpecError, match="RLC0681"):
        run(tmp_path / "all", *further, 'reward.on_failure="drop_group"', judge=SOME.replace("return", "assert not"))


def overlap(patches: pytest.MonkeyPatch) -> None:
    """Have the trainer of every stage work in a thread."""
    build = open_executor.build_actors

    def built(*args: Any, **kwargs: Any) -> Actors:
        return replace(build(*args, **kwargs), overlap=True)

    patches.setattr(open_executor, "build_actors", built)


class _Elsewhere:
    """A trainer that, in its first steps, does not return before the engine has gone on meanwhile."""

    def __init__(self) -> None:
        self.advanced, self.went_on = threading.Event(), list[bool]()

    def put_in(self, patches: pytest.MonkeyPatch) -> None:
        advance, step = NativeEngine.advance, TorchTrainer.step

        def advancing(engine: NativeEngine) -> None:
            advance(engine)
            self.advanced.set()

        def training(trainer: TorchTrainer, batch: TrainBatch) -> Any:
            if len(self.went_on) < 2:
                self.advanced.clear()
                self.went_on.append(self.advanced.wait(timeout=20))
            return step(trainer, batch)

        patches.setattr(NativeEngine, "advance", advancing)
        patches.setattr(TorchTrainer, "step", training)
        overlap(patches)


SLOW = (
    "import asyncio, zlib\n\n\nasync def reward(sample):\n"
    "    await asyncio.sleep(zlib.crc32(sample.text.encode()) % 7 / 100)\n"
    '    return sum(c in "024" for c in sample.text) / 12\n'
)


@pytest.mark.parametrize("further", [ONE_OFF, ASYNC], ids=["one step off", "async"])
def test_where_actors_overlap_the_engine_goes_on_while_the_trainer_works(
    tmp_path: Path, further: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = _Elsewhere()
    elsewhere.put_in(monkeypatch)
    rows = run(tmp_path, *further, judge=SLOW)
    # In one of the two steps all that may be under way may have ended before.
    assert any(elsewhere.went_on)
    names = [(g.samples[0].id.step, g.samples[0].id.group) for groups in recorded(tmp_path / "run") for g in groups]
    assert len(names) == len(set(names)) == 4 * STEPS
    assert max(row["schedule/staleness_max"] for row in rows) <= (1 if further is ONE_OFF else 2)
    assert state_of(tmp_path / "run")["data_position"] == 4 * STEPS


def test_where_actors_overlap_a_killed_run_loses_no_group_and_trains_none_twice(
    tmp_path: Path, chaos_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlap(monkeypatch)
    plan, draw, kills = compiled(tmp_path, *ASYNC, "checkpoint.interval=2", judge=SLOW), random.Random(chaos_seed), 0
    while kills < 4 and run_until_killed(plan, tmp_path, draw.randrange(3, 16), monkeypatch):
        kills += 1
    run_plan(plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO()))
    assert kills > 0
    names = [(g.samples[0].id.step, g.samples[0].id.group) for groups in recorded(tmp_path / "run") for g in groups]
    prompts = [g.prompt.tokens for groups in recorded(tmp_path / "run") for g in groups]
    assert len(names) == len(set(names)) == 4 * STEPS
    # Each of the twenty rows once, and the first four of the second pass.
    assert sorted(Counter(prompts).values()) == [1] * 16 + [2] * 4


@pytest.mark.slow
def test_a_process_that_is_killed_while_groups_are_under_way_ends_like_one_that_never_was(
    server: Server, tmp_path: Path
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC)
    (tmp_path / "judge.py").write_text(SOME, encoding="utf-8")
    further = [part for line in (*ASYNC, "checkpoint.interval=2") for part in ("--set", line)]
    whole = server.run("run", spec.name, "--run-dir", "whole", *further, cwd=tmp_path)
    assert (whole.code, whole.err) == (0, "")
    for place, number in (("rollout", 9), ("before_rename", 1), ("backward", 2)):
        process = server.start("run", spec.name, "--run-dir", "cut", *further, cwd=tmp_path, gate=(place, number))
        assert process.reaches_its_gate()
        process.signal(signal.SIGKILL)
        assert process.wait().code == -signal.SIGKILL
    assert server.run("run", spec.name, "--run-dir", "cut", *further, cwd=tmp_path).code == 0
    assert results_of(tmp_path / "cut") == results_of(tmp_path / "whole")
    assert points_of(tmp_path / "cut") == points_of(tmp_path / "whole")
    assert recorded(tmp_path / "cut") == recorded(tmp_path / "whole")


def test_an_evaluation_stands_between_two_steps_and_measures_the_newest_weights(tmp_path: Path) -> None:
    """Oracle: a run with the same weights that is measured at the end of a stage alone."""
    measured = (
        'eval.sets=[{ name = "heldout", path = "heldout.jsonl" }]',
        "eval.interval=2",
        "eval.correct_at=0.2",
    )
    watched = run(tmp_path / "watched", *ASYNC, *measured)
    unwatched = run(tmp_path / "unwatched", *ASYNC)
    # What is under way is broken off for it, and goes on as if nobody had looked.
    assert watched == unwatched
    rows = [row for row in rows_of(tmp_path / "watched" / "run") if "eval/heldout/accuracy" in row]
    assert [row["step"] for row in rows if row["step"]] == [2, 4, 6]
