"""On-policy distillation on the CPU target: a student comes closer to a teacher that a few steps of imitation made."""

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
from tests.support.run_directory import newest_checkpoint, results_of, rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

STEPS = 30
ALPHABET = '"0123456789+="'
TEACHER_MODEL = MODEL.replace("num_layers = 1", "num_layers = 2").replace("num_heads = 2", "num_heads = 4")
TEACHER = f"""rlc = 1
name = "teacher"
use = ["//recipes:sft"]
{TEACHER_MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 40

[train]
global_batch = 20

[optim]
lr = 1e-2

[[data.train]]
path = "sums.jsonl"
"""
STUDENT = f"""rlc = 1
name = "student"
use = ["//recipes:on_policy_distillation"]
{MODEL}
[teacher]
hf = "teacher"

[teacher.tokenizer]
kind = "characters"
alphabet = {ALPHABET}

[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = {STEPS}

[rollout]
max_prompt_tokens = 4
max_response_tokens = 4
prompts_per_step = 8
samples_per_prompt = 2

[train]
global_batch = 16

[optim]
lr = 2e-2

[[data.train]]
path = "prompts.jsonl"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, prompts without labels, and the spec of a student."""
    folder = tmp_path_factory.mktemp("distillation")
    run(write_experiment(folder, spec=TEACHER), "teacher_run")
    newest_checkpoint(folder / "teacher_run").rename(folder / "teacher")
    prompts = [json.dumps({"input": f"{a}+{b}="}) + "\n" for a in range(5) for b in range(5)]
    (folder / "prompts.jsonl").write_text("".join(prompts), encoding="utf-8")
    (folder / "spec.toml").write_text(STUDENT, encoding="utf-8")
    of_tokens = STUDENT.replace('use = ["//recipes:on_policy_distillation"]', 'algo = { name = "opd" }')
    (folder / "of_tokens.toml").write_text(of_tokens, encoding="utf-8")
    return folder


def run(spec: Path, run_dir: str, *overrides: str) -> list[dict[str, Any]]:
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    place = RunPlace(root=spec.parent, run_dir=spec.parent / run_dir, stream=io.StringIO())
    assert run_plan(compiled.plan, place) == "finished"
    return rows_of(place.run_dir)


def taught(home: Path, run_dir: Path, *overrides: str, spec: str = "spec.toml") -> list[dict[str, Any]]:
    return run(home / spec, str(run_dir), *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss.topk=8",),
        ("loss.topk=8", "loss.outside_topk=zero"),
        ("loss.vocabulary=full", "loss.divergence=mixed", "loss.temperature=0.8"),
    ],
)
def test_the_divergence_falls_without_any_label(home: Path, overrides: tuple[str, ...], tmp_path: Path) -> None:
    rows = taught(home, tmp_path / "run", *overrides)
    kls = [float(row["train/kl"]) for row in rows]
    assert len(kls) == STEPS
    assert sum(kls[-3:]) < 0.5 * sum(kls[:3]), kls
    assert not any("reward/mean" in row for row in rows)


def test_what_the_teacher_says_of_sampled_tokens_teaches_as_well(home: Path, tmp_path: Path) -> None:
    further = ("rollout.samples_per_prompt=8", "train.global_batch=64")
    taught(home, tmp_path / "run", *further, spec="of_tokens.toml")
    newest_checkpoint(tmp_path / "run").rename(home / "learnt")
    # How far the student is from the teacher is measured by the other form.
    measured = ("run.max_steps=1", "loss.vocabulary=full", "rollout.samples_per_prompt=8", "train.global_batch=64")
    before = taught(home, tmp_path / "before", *measured)[0]["train/kl"]
    after = taught(home, tmp_path / "after", "model.weights=learnt", *measured)[0]["train/kl"]
    assert after < 0.6 * before


def test_a_reward_is_measured_where_there_is_one(home: Path, tmp_path: Path) -> None:
    data = 'data.train=[{ path = "sums.jsonl" }]'
    rows = taught(home, tmp_path / "run", 'reward.name="judge.py:reward"', data, "run.max_steps=2")
    assert all("reward/mean" in row and "train/kl" in row for row in rows)


@pytest.mark.parametrize("spec", ["spec.toml", "of_tokens.toml"])
def test_a_run_that_is_continued_ends_like_one_that_was_not(home: Path, spec: str, tmp_path: Path) -> None:
    for name, lengths in (("whole", (6,)), ("halves", (3, 6))):
        for steps in lengths:
            taught(home, tmp_path / name, f"run.max_steps={steps}", spec=spec)
    assert results_of(tmp_path / "halves") == results_of(tmp_path / "whole")


def test_another_teacher_does_not_go_on_with_a_run(home: Path, tmp_path: Path) -> None:
    taught(home, tmp_path / "run", "run.max_steps=2")
    with pytest.raises(SpecError) as caught:
        taught(home, tmp_path / "run", "run.max_steps=3", "teacher.weights=random")
    assert [d.code for d in caught.value.diagnostics] == ["RLC0654"]


def test_a_teacher_that_spells_otherwise_is_refused(home: Path, tmp_path: Path) -> None:
    for name, alphabet in (("one", "0123456789+="), ("other", "1023456789+=")):
        changed = TEACHER.replace('"0123456789+="', f'"{alphabet}"').replace("max_steps = 40", "max_steps = 1")
        run(write_experiment(tmp_path / name, spec=changed), "run")
        newest_checkpoint(tmp_path / name / "run").rename(tmp_path / name / "weights")
    spec = STUDENT.replace(MODEL, '[model]\nhf = "one/weights"\n').replace('hf = "teacher"', 'hf = "other/weights"')
    spec = spec.replace(f'kind = "characters"\nalphabet = {ALPHABET}', 'kind = "huggingface"')
    (tmp_path / "spec.toml").write_text(spec, encoding="utf-8")
    (tmp_path / "prompts.jsonl").write_text('{"input": "1+1="}\n', encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        run(tmp_path / "spec.toml", "run")
    (fault,) = caught.value.diagnostics
    assert fault.code == "RLC0653"
    assert fault.message == (
        "2 tokens have another id in the teacher's tokenizer than in the model's: '0' (4 and 5), '1' (5 and 4)"
    )
