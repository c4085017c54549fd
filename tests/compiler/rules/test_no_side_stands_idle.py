"""RLC0539 (PLACE-01): GPUs that are set aside for sampling."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.rules.good_spec import GPU, SFT, Changes, codes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4"}
MACHINE: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster.", "train.prec"))}


def test_nothing_samples(tmp_path: Path) -> None:
    assert codes(tmp_path, {**MACHINE, **SPLIT}, base=SFT) == ["RLC0539"]
    assert codes(tmp_path, MACHINE, base=SFT) == []


def test_an_evaluation_is_use_enough(tmp_path: Path) -> None:
    evaluated: Changes = {
        "eval.sets": '[{ name = "held", path = "held.jsonl" }]',
        "rollout.max_response_tokens": "16",
        "reward.name": '"exact"',
    }
    assert codes(tmp_path, {**MACHINE, **SPLIT, **evaluated}, base=SFT) == []


def test_one_stage_that_does_not_is_a_warning_with_a_way_out(tmp_path: Path) -> None:
    stages: Changes = {
        "use": None,
        "stages": '[{ name = "a", use = ["//recipes:grpo"] }, { name = "b", use = ["//recipes:sft"] }]',
    }
    gone: Changes = {path: None for path in GPU if path.startswith(("rollout.", "reward."))}
    own = (
        '[{ name = "a", use = ["//recipes:grpo"], reward = { name = "math" }, rollout = { prompts_per_step = 32, '
        'samples_per_prompt = 8, max_response_tokens = 16 } }, { name = "b", use = ["//recipes:sft"] }]'
    )
    found = compiled(tmp_path, {**stages, **gone, **SPLIT, "stages": own}, base=GPU)
    assert [(d.code, d.severity) for d in found.diagnostics] == [("RLC0539", "warning")]
    assert found.diagnostics[0].help[0].sets == (("placement.mode", '"colocate"'), ("placement.train_gpus", "8"))
