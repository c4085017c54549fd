"""Rewards that raise, hang, or return what is no number: what the spec makes of it, and what is counted."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from pathlib import Path
from typing import Literal, Never

import pytest

from compiler.ir.openness import OFF
from compiler.ir.reward_settings import MathReward
from compiler.ir.rollout import CustomCode, Reward
from runtime.rewards.runner import RewardRunner, nothing_left
from runtime.schedules.trained import rollout_metrics
from tests.support.judged import arriving, group, rewards

Level = Literal["sample", "group", "batch"]
Policy = Literal["stop", "score", "drop_group"]
BAD = {
    "raises": ("raise ValueError('x')", "raised"),
    "exits": ("raise SystemExit(3)", "raised"),
    "hangs": ("import time; time.sleep(60)", "late"),
    "spins": ("while True: pass", "late"),
    "dies": ("import os; os._exit(1)", "late"),
    "nan": ("return float('nan')", "value"),
    "inf": ("return float('-inf')", "value"),
    "text": ("return 'right'", "value"),
    "nothing": ("return None", "value"),
}


def runner_of(
    root: Path, body: str, policy: Policy, *, level: Level = "sample", timeout_s: float = 2.0
) -> RewardRunner:
    text = f"def judge({level}):\n{body}"
    (root / "r.py").write_text(text)
    code = CustomCode(path="r.py", function="judge", sha256=hashlib.sha256(text.encode()).hexdigest())
    reward: Reward[Never] = Reward(
        name="r.py:judge", level=level, code=code, timeout_s=timeout_s, on_failure=policy, failure_score=-7.0
    )
    return RewardRunner(reward, root=root)


def bad_on_b(statement: str) -> str:
    return f"    if sample.text == 'b':\n        {statement}\n    return len(sample.text)\n"


@pytest.mark.parametrize("how", BAD)
def test_a_failure_scores_what_the_spec_says_and_the_others_are_judged(tmp_path: Path, how: str) -> None:
    statement, kind = BAD[how]
    runner = runner_of(tmp_path, bad_on_b(statement), "score")
    found = asyncio.run(runner.score_all(arriving(group(0, "a", "b", "aaa"), group(1, "aa"))))
    metrics = runner.take_metrics()
    runner.close()
    assert rewards(found) == [[1.0, -7.0, 3.0], [2.0]]
    assert (metrics["reward/failed"], metrics[f"reward/failed/{kind}"]) == (1, 1)
    assert runner.last_failure.startswith("reward r.py:judge ")
    assert runner.last_failure.endswith("on d.jsonl:1")


@pytest.mark.parametrize("how", ["raises", "spins", "nan"])
def test_a_failure_can_cost_its_group_and_no_other(tmp_path: Path, how: str) -> None:
    runner = runner_of(tmp_path, bad_on_b(BAD[how][0]), "drop_group")
    found = asyncio.run(runner.score_all(arriving(group(2, "a"), group(0, "a", "b"), group(1, "aa"))))
    runner.close()
    assert [one.prompt.row for one in found] == [1, 2]
    assert rewards(found) == [[2.0], [1.0]]
    assert runner.take_metrics()["reward/failed"] == 1


def test_all_groups_may_be_left_out_and_the_step_decides_what_that_means(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, "    raise ValueError('gone')\n", "drop_group")
    assert asyncio.run(runner.score_all(arriving(group(0, "a"), group(1, "a")))) == []
    runner.close()
    assert "raised ValueError: gone" in nothing_left(2, runner.last_failure).help[0].text


@pytest.mark.parametrize("level", ["group", "batch"])
def test_a_failure_of_a_larger_call_counts_all_its_responses(tmp_path: Path, level: Level) -> None:
    runner = runner_of(tmp_path, "    raise ValueError('x')\n", "score", level=level)
    found = asyncio.run(runner.score_all(arriving(group(0, "a", "b"), group(1, "a", "b"))))
    runner.close()
    assert rewards(found) == [[-7.0, -7.0], [-7.0, -7.0]]
    assert runner.take_metrics()["reward/failed"] == 4


def test_what_hangs_leaves_no_thread_behind_where_the_run_goes_on(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, bad_on_b("while True: pass"), "score", timeout_s=1.0)
    asyncio.run(runner.score_all(arriving(group(0, "b", "b", "b"))))
    runner.close()
    deadline = time.monotonic() + 5
    while any(thread.name == "reward" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [thread.name for thread in threading.enumerate() if thread.name == "reward"] == []


def test_metrics_are_of_one_step(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, bad_on_b("raise ValueError"), "score")
    asyncio.run(runner.score_all(arriving(group(0, "b"))))
    assert runner.take_metrics()["reward/failed"] == 1
    asyncio.run(runner.score_all(arriving(group(0, "a"))))
    assert runner.take_metrics()["reward/failed"] == 0
    runner.close()


def test_empty_responses_and_equal_groups_are_judged_and_counted() -> None:
    for name in ("exact", "f1", "gpqa", "math", "deepscaler"):
        runner = RewardRunner(Reward(name=name, level="sample", code=OFF, math=MathReward()), root=Path())
        found = asyncio.run(runner.score_all(arriving(group(0, "", " \n", label="A" if name == "gpqa" else "1"))))
        runner.close()
        assert rewards(found) == [[0.0, 0.0]]
        metrics = rollout_metrics(found)
        assert (metrics["rollout/empty_responses"], metrics["rollout/zero_std_groups_frac"]) == (2, 1.0)
