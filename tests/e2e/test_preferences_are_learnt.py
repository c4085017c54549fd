"""DPO on the CPU target: pairs are read, trained on and learnt; bad rows are refused."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "preferences"
use = ["//recipes:dpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 12

[train]
global_batch = 8

[optim]
lr = 1e-2

[[data.train]]
path = "pairs.jsonl"
"""
PAIRS = [{"input": f"{a}+{b}=", "chosen": str(a + b), "rejected": "0"} for a in range(1, 5) for b in range(1, 5)]


def run(folder: Path, *overrides: str, pairs: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")
    lines = [json.dumps(row) + "\n" for row in (PAIRS if pairs is None else pairs)]
    (folder / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    compiled = compile_spec(folder / "spec.toml", scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    run_plan(compiled.plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return rows_of(folder / "run")


def test_the_first_loss_is_that_of_the_reference_and_the_better_answers_are_learnt(tmp_path: Path) -> None:
    rows = run(tmp_path)
    assert rows[0]["train/preference_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert rows[-1]["train/accuracy"] == 1.0
    assert rows[-1]["train/preference_loss"] < 0.5


def test_the_cut_into_micro_batches_keeps_pairs_together_and_changes_nothing(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", "train.micro_batch=8")
    for name, line in (("one", "train.micro_batch=1"), ("tokens", "train.packing.tokens=24")):
        for row, other in zip(whole, run(tmp_path / name, line), strict=True):
            assert other["train/loss"] == pytest.approx(row["train/loss"], abs=1e-5)
            assert other["train/grad_norm"] == pytest.approx(row["train/grad_norm"], rel=1e-3)


def test_a_pair_without_its_worse_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="RLC0602"):
        run(tmp_path, pairs=[*PAIRS, {"input": "1+1=", "chosen": "2"}])


def test_a_pair_of_equal_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="RLC0603"):
        run(tmp_path, pairs=[*PAIRS, {"input": "1+1=", "chosen": "2", "rejected": "2"}])


def test_a_stage_of_preferences_reads_no_label(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC + 'label_key = "answer"\n', encoding="utf-8")
    found = compile_spec(tmp_path / "spec.toml", scan())
    assert [d.code for d in found.diagnostics] == ["RLC0202"]
