"""Groups that are kept from one step to the next: broken off and resumed, left over, replayed, saved."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import results_of, rows_of
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
max_steps = 6

[rollout]
max_prompt_tokens = 4
max_response_tokens = 12
prompts_per_step = 4
samples_per_prompt = 4
concurrency = 8

[rollout.buffer]
partial = true
oversample = 2.0
max_staleness_steps = 3

[reward]
name = "judge.py:reward"

[train]
global_batch = 16

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[[data.train]]
path = "sums.jsonl"
"""
SOME = 'def reward(sample):\n    return float(sample.text[:1] in "024")\n'


def run(folder: Path, *overrides: str, judge: str = SOME) -> list[dict[str, Any]]:
    spec = write_experiment(folder, spec=SPEC)
    (folder / "judge.py").write_text(judge, encoding="utf-8")
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    run_plan(compiled.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return [row for row in rows_of(folder / "run") if "reward/mean" in row]


def test_resume(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "cut", "run.max_steps=2")
    run(tmp_path / "cut")
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")
