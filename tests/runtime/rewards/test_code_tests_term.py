"""Responses with programs, judged by the tests of their rows in real sandboxes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.reward_settings import CodeTestsReward
from compiler.ir.rollout import Reward
from runtime.rewards.runner import RewardRunner
from runtime.sandbox import box
from stdlib.samples import JsonValue
from tests.support.judged import arriving, group, rewards


def judged(label: JsonValue, *programs: str, **settings: Any) -> tuple[list[list[float | None]], dict[str, float]]:
    values: dict[str, Any] = {"timeout_s": 20.0, "memory_mib": 512, **settings}
    tests = CodeTestsReward(**values)
    runner = RewardRunner(Reward(name="code_tests", level="sample", code=OFF, code_tests=tests), root=Path())
    responses = [f"Thus:\n```python\n{program}\n```\n" for program in programs]
    try:
        found = asyncio.run(runner.score_all(arriving(group(0, *responses, label=label))))
        return rewards(found), runner.take_metrics()
    finally:
        runner.close()


SUMS: JsonValue = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}


def test_a_program_that_reads_and_prints() -> None:
    right, half, wrong = "print(sum(map(int, input().split())))", "print(3)", "print(open('/etc/passwd').read())"
    found, metrics = judged(SUMS, right, half, wrong)
    assert found == [[1.0, 0.0, 0.0]]
    assert metrics["reward/programs"] == 2 + 2 + 1  # the first failure is enough


def test_each_test_can_count_its_share() -> None:
    assert judged(SUMS, "print(3)", score="fraction")[0] == [[0.5]]
    assert judged(SUMS, "print(3)", max_tests=1)[0] == [[1.0]]


def test_functions_and_statements() -> None:
    calls: JsonValue = {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}
    program, other = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
    assert judged(calls, program, other)[0] == [[1.0, 0.0]]
    # MBPP and HumanEval in the form of their papers.
    assert judged({"test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}, program, other)[0] == [[1.0, 0.0]]
    checks = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    assert judged({"test": checks, "entry_point": "add"}, program, other)[0] == [[1.0, 0.0]]


def test_a_program_that_hangs_is_counted_and_costs_the_others_nothing() -> None:
    found, metrics = judged(SUMS, "while True: pass", "print(sum(map(int, input().split())))", timeout_s=2.0)
    assert found == [[0.0, 1.0]]
    assert metrics["reward/programs_late"] == 1


def test_a_response_without_a_program_is_wrong() -> None:
    runner = RewardRunner(
        Reward(name="code_tests", level="sample", code=OFF, code_tests=CodeTestsReward()), root=Path()
    )
    found = asyncio.run(runner.score_all(arriving(group(0, "print(3)", "", label=json.dumps(SUMS)))))
    runner.close()
    assert rewards(found) == [[0.0, 0.0]]


def test_a_label_without_tests_is_a_fault_of_the_row() -> None:
    with pytest.raises(SpecError, match=r"reward code_tests raised the label holds no tests.*d.jsonl:1") as caught:
        judged(None, "print(1)")
    assert caught.value.diagnostics[0].code == "RLC0612"


def test_nothing_is_run_where_nothing_can_be_confined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setattr(
        box,
        "_START",
        box._START.replace("import main", "import main, confine").replace(
            "main()", "confine.landlock_version = lambda: 0; main()"
        ),
    )
    with pytest.raises(SpecError, match="cannot be confined here: the kernel has no Landlock") as caught:
        judged(SUMS, f"open({str(mark)!r}, 'w')")
    assert caught.value.diagnostics[0].code == "RLC0682"
    assert not mark.exists()
