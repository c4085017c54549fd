"""Samples that say which experts their tokens visited, and rewards in processes of their own."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from compiler.ir.rollout import CustomCode, Reward
from runtime.rewards.runner import RewardRunner
from stdlib.samples import ExpertIds, Group
from tests.support.judged import arriving, group

pytestmark = pytest.mark.torch

# torch alone takes more address space than this; the process does not get as far as to load it.
JUDGE = (
    "import sys\nfrom stdlib.rewards._isolation import Isolation\n"
    "ISOLATION = Isolation(score=-5.0, memory_gib=1, imports=())\n"
    "def judge(group):\n"
    "    assert 'torch' not in sys.modules\n"
    "    return [float(sample.expert_ids is None) for sample in group.samples]\n"
)


def routed(plain: Group) -> Group:
    ids = ExpertIds(torch.zeros(4, 2, 2, dtype=torch.int16))
    return replace(plain, samples=tuple(replace(sample, expert_ids=ids) for sample in plain.samples))


def test_a_process_of_a_reward_is_not_told_of_experts_and_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text(JUDGE)
    code = CustomCode(path="r.py", function="judge", sha256=hashlib.sha256(JUDGE.encode()).hexdigest())
    runner = RewardRunner(Reward(name="r.py:judge", level="group", code=code, timeout_s=20.0), root=tmp_path)
    asked = routed(group(0, "a", "b"))
    (judged,) = asyncio.run(runner.score_all(arriving(asked)))
    runner.close()
    assert [sample.reward for sample in judged.samples] == [1.0, 1.0]
    # The samples that go on to the trainer keep them.
    assert [sample.expert_ids for sample in judged.samples] == [sample.expert_ids for sample in asked.samples]
