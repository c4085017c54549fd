"""Groups that are kept from one step to the next: broken off and resumed, left over, replayed, saved.

The model is tiny and its responses are long for the engine's rows, so that every step breaks some off.
"""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.processes import Server
from tests.support.run_directory import newest_checkpoint, points_of, results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "buffered"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 4

[rollout]
max_prompt_tokens = 4
max_response_tokens = 12
prompts_per_step = 4
samples_per_prompt = 2
concurrency = 6

[rollout.buffer]
max_staleness_steps = 3

[reward]
name = "judge.py:reward"

[train]
global_batch = 8

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[[data.train]]
path = "sums.jsonl"
"""
PARTIAL = ("rollout.buffer.partial=true", "rollout.buffer.oversample=2.0")
REPLAY = ("rollout.buffer.replay.frac=0.5", "rollout.buffer.replay.max_uses=2")
ROUTED = (
    'model.family="qwen3_moe"',
    "model.num_layers=2",
    "model.moe.num_experts=4",
    "model.moe.experts_per_token=2",
    "model.moe.expert_size=8",
    'train.routing_replay="rollout"',
)
FILTER = ('rollout.filter.name="nonzero_std"',)
SOME = 'def reward(sample):\n    return sum(c in "024" for c in sample.text) / 12\n'
SAME = "def reward(sample):\n    return 0.5\n"


def compiled(folder: Path, *overrides: str, judge: str = SOME, recipe: str = "grpo") -> Any:
    spec = write_experiment(folder, spec=SPEC.replace("//recipes:grpo", f"//recipes:{recipe}"))
    (folder / "judge.py").write_text(judge, encoding="utf-8")
    found = compile_spec(spec, scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def run(folder: Path, *overrides: str, judge: str = SOME, recipe: str = "grpo") -> list[dict[str, Any]]:
    plan = compiled(folder, *overrides, judge=judge, recipe=recipe)
    run_plan(plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]


def state_of(folder: Path) -> dict[str, Any]:
    return json.loads((newest_checkpoint(folder / "run") / "state.json").read_text(encoding="utf-8"))


def test_what_a_step_breaks_off_goes_on_in_the_next_and_no_prompt_is_lost(tmp_path: Path) -> None:
    rows = run(tmp_path, *PARTIAL)
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None:
            assert row["buffer/resumed_samples"] == row["buffer/stale_tokens_frac"] == 0
        else:
            assert row["buffer/resumed_tokens"] > 0
            assert 0 < row["buffer/stale_tokens_frac"] < 1
        assert row["buffer/staleness_max"] <= 3
        assert row["buffer/unfinished_groups"] > 0
    state = state_of(tmp_path)
    waiting = state["buffer"]
    assert state["data_position"] == 4 * 4 + len(waiting["unfinished"]) + len(waiting["finished"])
    samples = [sample for kept in waiting["unfinished"] for sample in kept["samples"]]
    assert any(sample["finish"] == "abort" and sample["segments"][1]["num_tokens"] > 0 for sample in samples)


def test_a_step_that_trains_a_critic_alone_makes_no_token_older(tmp_path: Path) -> None:
    further = ('rollout.buffer.stale_tokens="mask"', "critic.lr=1e-2", "critic.warmup_rollouts=2")
    rows = run(tmp_path, *PARTIAL, *further, recipe="ppo")
    assert [row["buffer/resumed_tokens"] > 0 for row in rows] == [False, True, True, True]
    # The weights of the third step are still the first ones: those of the step before it changed nothing.
    assert [row["buffer/staleness_max"] for row in rows] == [0, 0, 0, 1]
    assert [row["buffer/stale_tokens_frac"] > 0 for row in rows] == [False, False, False, True]


@pytest.mark.parametrize(
    "further",
    [
        PARTIAL,
        (*PARTIAL, *FILTER, *REPLAY, 'rollout.buffer.selector="prioritised"'),
        (*PARTIAL, *REPLAY, *ROUTED),
        (*PARTIAL, *REPLAY, "train.epochs_per_rollout=3", "train.global_batch=4"),
    ],
    ids=[
        "partial",
        "partial, filtered and replayed",
        "partial, replayed, and routing with it",
        "partial and replayed, in several passes",
    ],
)
def test_a_run_that_was_cut_is_resumed_bit_by_bit(tmp_path: Path, further: tuple[str, ...]) -> None:
    run(tmp_path / "whole", *further)
    run(tmp_path / "cut", *further, "run.max_steps=2")
    run(tmp_path / "cut", *further)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")
    assert state_of(tmp_path / "cut")["buffer"] == state_of(tmp_path / "whole")["buffer"]


@pytest.mark.slow
@pytest.mark.parametrize("routed", [(), ROUTED], ids=["dense", "routing is replayed"])
def test_a_run_that_is_killed_in_the_middle_of_sampling_ends_like_one_that_never_was(
    server: Server, tmp_path: Path, routed: tuple[str, ...]
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC)
    (tmp_path / "judge.py").write_text(SOME, encoding="utf-8")
    further = [part for line in (*PARTIAL, *REPLAY, *routed) for part in ("--set", line)]
    whole = server.run("run", spec.name, "--run-dir", "whole", *further, cwd=tmp_path)
    assert (whole.code, whole.err) == (0, "")
    for place, number in (("rollout", 5), ("before_rename", 1), ("rollout", 2)):
        process = server.start("run", spec.name, "--run-dir", "cut", *further, cwd=tmp_path, gate=(place, number))
        assert process.reaches_its_gate()
        process.signal(signal.SIGKILL)
        assert process.wait().code == -signal.SIGKILL
    assert server.run("run", spec.name, "--run-dir", "cut", *further, cwd=tmp_path).code == 0
    assert results_of(tmp_path / "cut") == results_of(tmp_path / "whole")
    assert points_of(tmp_path / "cut") == points_of(tmp_path / "whole")


def test_judging_that_takes_its_time_changes_nothing(tmp_path: Path) -> None:
    # What is sampled must not depend on when judgements come: some take longer than several steps of the engine.
    slow = (
        "import asyncio, zlib\n\n\nasync def reward(sample):\n"
        "    await asyncio.sleep(zlib.crc32(sample.text.encode()) % 7 / 500)\n"
        '    return sum(c in "024" for c in sample.text) // 3 / 4\n'
    )
    quick = 'def reward(sample):\n    return sum(c in "024" for c in sample.text) // 3 / 4\n'
    filtered = (*PARTIAL, *FILTER, "run.max_steps=3")
    slowly, quickly = (run(tmp_path / name, *filtered, judge=judge) for name, judge in (("a", slow), ("b", quick)))
    assert slowly == quickly
    assert any(row["rollout/filtered_groups"] > 0 for row in slowly)


def test_tokens_of_older_weights_do_not_count_where_they_are_masked(tmp_path: Path) -> None:
    rows = run(tmp_path, *PARTIAL, 'rollout.buffer.stale_tokens="mask"', "run.max_steps=3")
    for row in rows:
        num_fresh = row["rollout/tokens"] * (1 - row["buffer/stale_tokens_frac"])
        assert row["train/num_tokens"] == pytest.approx(num_fresh)
        assert row["buffer/finished_groups"] == 0
    assert any(row["buffer/stale_tokens_frac"] > 0 for row in rows)


def test_groups_are_replayed_as_often_as_they_may_and_no_older_than_they_may(tmp_path: Path) -> None:
    rows = run(tmp_path, *REPLAY, "run.max_steps=5")
    assert [row["buffer/replayed_groups"] for row in rows] == [0, 2, 2, 2, 2]
    # The oldest first: those of step 1 in steps 2 and 3, of which two are left for steps 4 and 5 if they are not older
    # than 3 steps then.
    assert [row["buffer/staleness_max"] for row in rows[:4]] == [0, 1, 2, 3]
    assert all(row["buffer/staleness_max"] <= 3 for row in rows)
    assert sum(row["buffer/dropped_stale"] for row in rows) > 0
    assert all(kept["num_uses"] <= 2 for kept in state_of(tmp_path)["buffer"]["used"])


def test_the_surplus_of_a_filter_waits_for_the_next_step(tmp_path: Path) -> None:
    rows = run(tmp_path, *FILTER, "rollout.filter.oversample=3.0")
    assert rows[0]["rollout/surplus_groups"] == rows[0]["buffer/finished_groups"] > 0
    assert rows[1]["buffer/taken_groups"] == min(4, rows[0]["buffer/finished_groups"])
    assert all(row["buffer/unfinished_groups"] == 0 for row in rows)


def test_a_filter_draws_on_until_a_partial_step_is_whole(tmp_path: Path) -> None:
    some = 'def reward(sample):\n    return float(sample.text[:1] in "02")\n'
    rows = run(tmp_path, *PARTIAL, *FILTER, "run.max_steps=2", judge=some)
    assert all(row["rollout/zero_std_groups_frac"] == 0.0 for row in rows)
    assert rows[0]["rollout/refills"] > 0
    assert rows[0]["rollout/drawn_prompts"] > 8


def test_groups_that_could_not_be_judged_are_made_up_for(tmp_path: Path) -> None:
    faulty = SOME.replace("    return", '    assert not sample.text.startswith("5")\n    return')
    rows = run(tmp_path, *PARTIAL, 'reward.on_failure="drop_group"', judge=faulty)
    assert any(row["reward/failed"] > 0 for row in rows)
    assert [row["train/num_tokens"] == row["rollout/tokens"] for row in rows] == [True] * 4
    assert len(state_of(tmp_path)["buffer"]["unfinished"]) > 0


@pytest.mark.parametrize("fate", ["stop", "train_fewer"])
def test_a_step_whose_groups_are_all_filtered_away_ends_the_run(tmp_path: Path, fate: str) -> None:
    further = (*PARTIAL, *FILTER, f'rollout.filter.on_shortage="{fate}"', "rollout.filter.max_refills=1")
    with pytest.raises(SpecError, match="RLC0690"):
        run(tmp_path, *further, judge=SAME)


def test_filtered_groups_fill_a_step_of_which_all_are_filtered_away(tmp_path: Path) -> None:
    (row,) = run(tmp_path, *PARTIAL, *FILTER, "rollout.filter.max_refills=1", "run.max_steps=1", judge=SAME)
    assert row["rollout/kept_filtered_groups"] == 4
    assert row["rollout/refills"] == 1
    assert row["train/grad_norm"] == 0.0


CHOICES = """
import time


def differ(group):
    assert all(sample.reward is not None for sample in group.samples)
    return len({sample.reward for sample in group.samples}) > 1


def newest(waiting, count):
    return sorted(range(len(waiting)), reverse=True)[:count]


def all_of_them(waiting, count):
    return range(count)


def twice(waiting, count):
    return [0, 0]


def number(group):
    return 1


def hangs(waiting, count):
    while True:
        time.sleep(0.01)


def is_stuck(group):
    return hangs([], 0)
"""
OWN = (*PARTIAL, *REPLAY, "run.max_steps=3")


def test_filters_and_selectors_of_ones_own_are_asked(tmp_path: Path) -> None:
    (tmp_path / "choices.py").write_text(CHOICES, encoding="utf-8")
    own = ('rollout.filter.name="choices.py:differ"', 'rollout.buffer.selector="choices.py:newest"')
    of_stdlib = run(tmp_path / "stdlib", *OWN, *FILTER)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "choices.py").write_text(CHOICES, encoding="utf-8")
    rows = run(tmp_path / "own", *OWN, *own)
    assert rows[0] == {**of_stdlib[0]}
    # The newest of those that were used are those of the last step.
    assert rows[2]["buffer/replayed_groups"] == 2
    assert rows[2] != of_stdlib[2]


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ('rollout.filter.name="choices.py:number"', "choices.py:number returned 1, not True or False"),
        ('rollout.buffer.selector="choices.py:twice"', "choices.py:twice returned place 0 twice"),
        ('rollout.buffer.selector="choices.py:all_of_them"', "returned range, not a list of places"),
    ],
)
def test_what_is_no_answer_ends_the_run(tmp_path: Path, further: str, said: str) -> None:
    (tmp_path / "choices.py").write_text(CHOICES, encoding="utf-8")
    with pytest.raises(SpecError, match="RLC0664") as fault:
        run(tmp_path, *OWN, further)
    assert said in fault.value.diagnostics[0].message


@pytest.mark.parametrize(
    "further",
    [
        ('rollout.filter.name="choices.py:is_stuck"', "rollout.filter.timeout_s=0.5"),
        ('rollout.buffer.selector="choices.py:hangs"', "rollout.buffer.timeout_s=0.5"),
    ],
    ids=["filter", "selector"],
)
def test_what_gives_no_answer_ends_the_run(tmp_path: Path, further: tuple[str, str]) -> None:
    (tmp_path / "choices.py").write_text(CHOICES, encoding="utf-8")
    with pytest.raises(SpecError, match="RLC0648") as fault:
        run(tmp_path, *OWN, *further)
    name, field = further[0].split('"')[1], further[1].partition("=")[0]
    assert fault.value.diagnostics[0].message == f"{name} took longer than {field} = 0.5 s"


def test_a_filter_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "choices.py").write_text("def differ(group):\n    return group.rewards\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"RLC0664.*AttributeError") as fault:
        run(tmp_path, *PARTIAL, 'rollout.filter.name="choices.py:differ"')
    assert fault.value.diagnostics[0].labels[0].span.text == "return group.rewards"


def test_a_filter_that_was_changed_after_the_plan_was_made_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("choices.py").write_text(CHOICES, encoding="utf-8")
    plan = compiled(tmp_path, *PARTIAL, 'rollout.filter.name="choices.py:differ"')
    tmp_path.joinpath("choices.py").write_text(f"{CHOICES}\n# and more\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"RLC0611.*choices.py has changed"):
        run_plan(plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO()))


def test_a_policy_learns_from_responses_that_are_broken_off(tmp_path: Path) -> None:
    further = (
        *PARTIAL,
        "run.max_steps=24",
        "rollout.samples_per_prompt=8",
        "train.global_batch=32",
        "rollout.concurrency=24",
        "optim.lr=2e-2",
        'checkpoint.interval="off"',
    )
    rows = run(tmp_path, *further, judge='def reward(sample):\n    return sample.text.count("7") / 12\n')
    rewards = [row["reward/mean"] for row in rows]
    assert sum(row["buffer/stale_tokens_frac"] > 0.1 for row in rows) > 12
    assert sum(rewards[:3]) / 3 < 0.2
    assert sum(rewards[-3:]) / 3 > 0.6, rewards
