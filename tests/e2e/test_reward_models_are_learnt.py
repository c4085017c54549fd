"""Reward models on the CPU target: learnt from pairs and scores, measured, saved, resumed, and asked as a reward."""

from __future__ import annotations

import asyncio
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.plan import Plan
from compiler.ir.reward_settings import RewardModel
from compiler.ir.rollout import Reward
from rlc.catalogue import scan
from runtime.checkpoint.store import CheckpointStore
from runtime.driver import RunPlace, run_plan
from runtime.evaluate_plan import Choice, evaluate_plan
from runtime.rewards.runner import RewardRunner
from tests.support.judged import arriving, asked, rewards
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL

pytestmark = pytest.mark.torch

BASE = f"""rlc = 1
name = "scorer"
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[train]
global_batch = 8

[optim]
lr = 1e-2

[eval]
interval = 6
"""
PAIRWISE = (
    BASE
    + """
[run]
max_steps = 24

[[data.train]]
path = "pairs.jsonl"

[[eval.pairs]]
name = "heldout"
path = "heldout_pairs.jsonl"
"""
).replace('name = "scorer"', 'name = "scorer"\nuse = ["//recipes:reward_model_bt"]', 1)
BY_SCORE = (
    BASE
    + """
[run]
max_steps = 30

[[data.train]]
path = "scores.jsonl"

[[eval.scored]]
name = "heldout"
path = "heldout_scores.jsonl"
"""
).replace('name = "scorer"', 'name = "scorer"\nuse = ["//recipes:reward_model_regression"]', 1)

# Of two answers the larger digit is the better one, and the digit is the score.
SUMS = [f"{a}+{b}=" for a in range(1, 5) for b in range(1, 5)]
PAIRS = [
    {"input": f"{q}+1=", "chosen": str(more), "rejected": str(less), "margin": (more - less) / 10}
    for q in range(1, 5)
    for more in range(1, 8)
    for less in range(0, more, 2)
]
SCORES = [{"input": f"{q}+1=", "response": str(digit), "score": digit / 8} for q in range(1, 5) for digit in range(8)]
FILES = {
    "pairs.jsonl": [row for row in PAIRS if row["input"] != "4+1="],
    "heldout_pairs.jsonl": [row for row in PAIRS if row["input"] == "4+1="],
    "scores.jsonl": [row for row in SCORES if row["input"] != "4+1="],
    "heldout_scores.jsonl": [row for row in SCORES if row["input"] == "4+1="],
}


def plan_of(folder: Path, spec: str, *overrides: str, files: dict[str, list[dict[str, Any]]] | None = None) -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text(spec, encoding="utf-8")
    for name, rows in {**FILES, **(files or {})}.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    compiled = compile_spec(folder / "spec.toml", scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    return compiled.plan


def run(folder: Path, spec: str, *overrides: str, **files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    named = {f"{name}.jsonl": rows for name, rows in files.items()}
    plan = plan_of(folder, spec, *overrides, files=named)
    run_plan(plan, RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO()))
    return rows_of(folder / "run")


def last_checkpoint(folder: Path) -> Path:
    return max((folder / "run" / "checkpoints").glob("step_*"))


def measured(rows: list[dict[str, Any]], metric: str) -> list[float]:
    return [row[f"eval/heldout/{metric}"] for row in rows if f"eval/heldout/{metric}" in row]


def test_pairs_are_learnt_and_measured_on_others(tmp_path: Path) -> None:
    rows = run(tmp_path, PAIRWISE)
    trained = [row for row in rows if "train/loss" in row]
    assert trained[0]["train/preference_loss"] == pytest.approx(math.log(2), abs=1e-6)  # a head of zeros
    assert trained[-1]["train/accuracy"] >= 0.9
    accuracy, low, high = (measured(rows, name) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    assert accuracy[0] == 0.0  # equal scores prefer nothing
    assert accuracy[-1] >= 0.9
    assert all(a <= b <= c for a, b, c in zip(low, accuracy, high, strict=True))
    assert measured(rows, "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert measured(rows, "margin")[-1] > 0.5


def test_scores_are_learnt_and_measured_on_others(tmp_path: Path) -> None:
    rows = run(tmp_path, BY_SCORE)
    mse, ranks = measured(rows, "mse"), measured(rows, "spearman")
    assert mse[0] == pytest.approx(sum((d / 8) ** 2 for d in range(8)) / 8, abs=1e-6)
    assert mse[-1] < 0.2 * mse[0]
    assert ranks[0] == 0.0
    assert ranks[-1] > 0.9


def test_a_bound_on_what_is_measured_ends_the_stage(tmp_path: Path) -> None:
    bound = "eval.heldout.accuracy >= 0.9"
    spec = PAIRWISE.replace('name = "scorer"', f'name = "scorer"\nuntil = "{bound}"', 1)
    rows = run(tmp_path, spec, "eval.interval=2")
    assert measured(rows, "accuracy")[-1] >= 0.9
    assert rows[-1]["step"] < 24


def test_the_checkpoint_is_a_sequence_classification_model(tmp_path: Path) -> None:
    run(tmp_path, PAIRWISE)
    saved = last_checkpoint(tmp_path)
    model: Any = AutoModelForSequenceClassification.from_pretrained(str(saved))
    tokenizer: Any = AutoTokenizer.from_pretrained(str(saved))
    assert model.config.num_labels == 1
    with torch.no_grad():
        texts = [[*tokenizer.encode(f"4+1={d}", add_special_tokens=False), tokenizer.eos_token_id] for d in (1, 7)]
        worse, better = model(input_ids=torch.tensor(texts)).logits[:, 0].tolist()
    assert better > worse


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", PAIRWISE, "run.max_steps=9", "checkpoint.interval=3")
    run(tmp_path / "parts", PAIRWISE, "run.max_steps=5", "checkpoint.interval=3")
    parts = run(tmp_path / "parts", PAIRWISE, "run.max_steps=9", "checkpoint.interval=3")
    one, other = ({row["step"]: row["train/loss"] for row in rows if "train/loss" in row} for rows in (whole, parts))
    assert one == other
    for name in ("model.safetensors", "trainer.safetensors"):
        first, second = (load_file(last_checkpoint(tmp_path / folder) / name) for folder in ("whole", "parts"))
        assert all(first[key].equal(second[key]) for key in {**first, **second}), name


def test_training_goes_on_from_a_reward_model(tmp_path: Path) -> None:
    run(tmp_path / "first", PAIRWISE)
    (tmp_path / "second").mkdir()
    last_checkpoint(tmp_path / "first").rename(tmp_path / "second" / "weights")
    spec = PAIRWISE.replace('weights = "random"', 'weights = "weights"')
    rows = run(tmp_path / "second", spec, "run.max_steps=1")
    assert measured(rows, "accuracy")[0] >= 0.9  # before the first step


@pytest.mark.parametrize("margin", ["a lot", True, -0.5, None])
def test_a_margin_that_is_no_number_is_refused(tmp_path: Path, margin: Any) -> None:
    spec = PAIRWISE.replace('path = "pairs.jsonl"', 'path = "pairs.jsonl"\nmargin_key = "margin"')
    with pytest.raises(SpecError, match=r'RLC0603.*"margin"'):
        run(tmp_path, spec, pairs=[*PAIRS, {**PAIRS[0], "margin": margin}])


@pytest.mark.parametrize("score", ["good", False, None, 10**400])
def test_a_score_that_is_no_number_is_refused(tmp_path: Path, score: Any) -> None:
    with pytest.raises(SpecError, match=r'RLC0603.*"score"'):
        run(tmp_path, BY_SCORE, scores=[*SCORES, {**SCORES[0], "score": score}])


def test_a_score_that_is_not_a_number_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"RLC0603.*NaN"):
        run(tmp_path, BY_SCORE, scores=[*SCORES, {**SCORES[0], "score": math.nan}])


def test_margins_of_the_data_ask_for_more(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", PAIRWISE, "run.max_steps=1", "data.shuffle=false")
    spec = PAIRWISE.replace('path = "pairs.jsonl"', 'path = "pairs.jsonl"\nmargin_key = "margin"')
    asked = run(tmp_path / "asked", spec, "run.max_steps=1", "data.shuffle=false")
    first = FILES["pairs.jsonl"][:8]
    expected = sum(math.log1p(math.exp(row["margin"])) for row in first) / 8
    losses = [next(row["train/loss"] for row in rows if "train/loss" in row) for rows in (plain, asked)]
    assert losses == pytest.approx([math.log(2), expected], abs=1e-6)


def test_a_reward_model_is_the_reward_of_another_experiment(tmp_path: Path) -> None:
    run(tmp_path, PAIRWISE)
    last_checkpoint(tmp_path).rename(tmp_path / "reward")
    spec = BASE.replace('name = "scorer"', 'name = "judged"\nuse = ["//recipes:grpo"]', 1).partition("[eval]")[0]
    spec += """
[run]
max_steps = 25

[rollout]
max_prompt_tokens = 4
max_response_tokens = 1
prompts_per_step = 4
samples_per_prompt = 8

[reward]
name = "reward_model"
reward_model.path = "reward"
reward_model.ends_with_eos = true

[[data.train]]
path = "prompts.jsonl"
"""
    prompts = [{"input": f"{q}+1=", "label": ""} for q in range(1, 5)]
    (tmp_path / "judged").mkdir()
    (tmp_path / "reward").rename(tmp_path / "judged" / "reward")
    rows = run(tmp_path / "judged", spec, "train.global_batch=32", prompts=prompts)
    rewards = [row["reward/mean"] for row in rows]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.5


def test_a_reward_is_the_score_that_was_trained_to_the_last_digit(tmp_path: Path) -> None:
    run(tmp_path, BY_SCORE)
    saved = last_checkpoint(tmp_path)
    read = evaluate_plan(plan_of(tmp_path, BY_SCORE), CheckpointStore.at(saved), Choice(), root=tmp_path)
    groups = [asked(0, "4+1=", *(str(digit) for digit in range(8)))]
    settings: Any = {"path": saved.name, "ends_with_eos": True}
    judge = Reward(name="reward_model", level="sample", code=OFF, reward_model=RewardModel(**settings))
    runner = RewardRunner(judge, root=saved.parent)
    (scores,) = rewards(asyncio.run(runner.score_all(arriving(*groups))))
    runner.close()
    squares = [(score - digit / 8) ** 2 for digit, score in enumerate(scores) if score is not None]
    assert sum(squares) / 8 == pytest.approx(read.metrics["eval/heldout/mse"], rel=1e-4)


def test_a_reward_model_is_read_where_it_was_trained_to_be(tmp_path: Path) -> None:
    run(tmp_path, BY_SCORE, "run.max_steps=1")
    saved = last_checkpoint(tmp_path)
    settings: Any = {"path": saved.name}
    judge = Reward(name="reward_model", level="sample", code=OFF, reward_model=RewardModel(**settings))
    with pytest.raises(SpecError, match="RLC0646"):
        RewardRunner(judge, root=saved.parent)


def test_a_policy_that_has_imitated_becomes_a_reward_model(tmp_path: Path) -> None:
    stages = """
[[stages]]
name = "imitate"
use = ["//recipes:sft"]
run.max_steps = 3
data.train = [{ path = "scores.jsonl", label_key = "response" }]

[[stages]]
name = "judge"
use = ["//recipes:reward_model_bt"]
run.max_steps = 40
eval.interval = 10
data.train = [{ path = "pairs.jsonl" }]
eval.pairs = [{ name = "heldout", path = "heldout_pairs.jsonl" }]
"""
    rows = run(tmp_path, BASE.partition("[eval]")[0] + stages)
    assert [row["stage"] for row in rows if "train/loss" in row] == ["imitate"] * 3 + ["judge"] * 40
    losses = measured(rows, "loss")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < 0.3


def test_the_preference_of_a_policy_is_measured_and_ends_its_stage(tmp_path: Path) -> None:
    spec = PAIRWISE.replace("//recipes:reward_model_bt", "//recipes:dpo")
    spec = spec.replace('name = "scorer"', 'name = "scorer"\nuntil = "eval.heldout.accuracy > 0.9"', 1)
    rows = run(tmp_path, spec, "eval.interval=1")
    assert measured(rows, "accuracy")[0] == 0.0  # the reference itself prefers nothing to itself
    assert measured(rows, "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert measured(rows, "accuracy")[-1] > 0.9
    assert rows[-1]["step"] < 24
    alone = evaluate_plan(
        plan_of(tmp_path, spec), CheckpointStore.at(last_checkpoint(tmp_path)), Choice(), root=tmp_path
    )
    written = {name: value for name, value in rows[-1].items() if name.startswith("eval/")}
    assert alone.metrics == written


def test_a_policy_is_measured_on_pairs_and_on_what_it_samples(tmp_path: Path) -> None:
    spec = (
        PAIRWISE.replace("//recipes:reward_model_bt", "//recipes:dpo")
        + """
[[eval.sets]]
name = "sampled"
path = "sampled.jsonl"

[rollout]
max_prompt_tokens = 4
max_response_tokens = 2

[reward]
name = "exact"
"""
    )
    rows = run(tmp_path, spec, "run.max_steps=2", sampled=[{"input": "4+1=", "label": "7"}])
    last = rows[-1]
    assert {"eval/sampled/accuracy", "eval/heldout/accuracy", "eval/heldout/margin"} <= last.keys()
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_margin_is_beta_times_what_the_policy_gained(tmp_path: Path) -> None:
    spec = PAIRWISE.replace("//recipes:reward_model_bt", "//recipes:dpo").replace("heldout_pairs", "pairs")
    whole = ["run.max_steps=1", f"train.global_batch={len(FILES['pairs.jsonl'])}", "data.shuffle=false"]
    first = run(tmp_path / "once", spec, *whole)
    second = run(tmp_path / "twice", spec, "run.max_steps=2", *whole[1:])
    trained = [row for row in second if "train/loss" in row][1]
    for metric, name in (("accuracy", "accuracy"), ("loss", "preference_loss"), ("margin", "reward_margin")):
        assert measured(first, metric)[-1] == pytest.approx(trained[f"train/{name}"], abs=1e-5)
