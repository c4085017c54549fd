"""Requirements about the machine: the GPU identity is one of the equations."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.ir.machine import Parallel
from rlc.catalogue import scan

SPEC = """\
rlc = 1
name = "case"
use = ["//recipes:grpo"]
require = [{{ that = "{that}", why = "so it is" }}]

[model]
name = "//models:qwen3_4b"
weights = "qwen"

[cluster]
target = "cuda"
nodes = 1
gpus_per_node = "8xH100-80-SXM"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_response_tokens = 16

[reward]
name = "exact"

[train]
{train}

[[data.train]]
path = "train.jsonl"
"""


def compiled(folder: Path, that: str, *overrides: str, train: str = "global_batch = 32") -> Compiled:
    (folder / "spec.toml").write_text(SPEC.format(that=that, train=train))
    return compile_spec(folder / "spec.toml", scan(), overrides=overrides)


def axes(found: Compiled) -> tuple[object, ...]:
    assert found.plan is not None, found.diagnostics
    parallel = found.plan.experiment.parallel
    assert isinstance(parallel, Parallel)
    return parallel.tp, parallel.pp, parallel.cp, parallel.dp


@pytest.mark.parametrize(
    ("that", "overrides", "expected"),
    [
        ("parallel.dp == 2", (), (4, 1, 1, 2)),
        ("parallel.dp == 2", ("parallel.tp=2",), (2, 2, 1, 2)),
        ("parallel.dp == 2", ("parallel.pp=4",), (1, 4, 1, 2)),
        ("parallel.dp >= 1", ("parallel.dp=4",), (2, 1, 1, 4)),
        ("parallel.dp * parallel.tp == 8", ("parallel.etp=1",), (1, 1, 1, 8)),
        ("train.global_batch == 8 * parallel.dp", (), (2, 1, 1, 4)),
    ],
)
def test_one_unknown_of_the_gpus_is_solved_and_several_are_assumed_in_order(
    tmp_path: Path, that: str, overrides: tuple[str, ...], expected: tuple[int, ...]
) -> None:
    assert axes(compiled(tmp_path, that, *overrides, "train.engine.name=megatron")) == expected


def test_a_batch_that_follows_from_the_gpus_is_solved_before_anything_is_assumed(tmp_path: Path) -> None:
    more = "rollout.prompts_per_step=16"
    found = compiled(tmp_path, "train.steps_per_rollout == parallel.dp", more, train='global_batch = "auto"')
    assert found.plan is not None, found.diagnostics
    (stage,) = found.plan.experiment.stages
    assert (stage.train.global_batch, axes(found)[3]) == (16, 8)


def test_the_gpus_that_train_follow_from_the_axes(tmp_path: Path) -> None:
    sizes = ("parallel.tp=2", "parallel.pp=1", "parallel.cp=1", "parallel.dp=2", "placement.mode=split")
    found = compiled(tmp_path, "parallel.dp == 2", *sizes)
    assert found.plan is not None, found.diagnostics
    placement = found.plan.experiment.placement.__dict__
    assert (placement["train_gpus"], placement["rollout_gpus"]) == (4, 4)


def test_a_statement_is_judged_once_where_it_names_its_stage_and_not_at_all_where_a_policy_has_no_field(
    tmp_path: Path,
) -> None:
    (tmp_path / "policy.star").write_text('require("parallel.dp > 100", "on clusters")\n')
    (tmp_path / "spec.toml").write_text(
        SPEC.format(that="stages.b.run.max_steps > 10", train="global_batch = 32")
        .replace('use = ["//recipes:grpo"]\n', "")
        .replace("qwen3_4b", "tiny_qwen3")
        .replace('"cuda"\nnodes = 1\ngpus_per_node = "8xH100-80-SXM"', '"cpu"')
        + '\n[[stages]]\nname = "a"\nuse = ["//recipes:grpo"]\n[[stages]]\nname = "b"\nuse = ["//recipes:grpo"]\n'
    )
    found = compile_spec(tmp_path / "spec.toml", scan(), overrides=["model.weights=random"])
    assert [d.code for d in found.diagnostics] == ["RLC0320"]


def test_what_was_made_small_need_not_have_the_field(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC.format(that="parallel.dp == 8", train="global_batch = 32"))
    assert compile_spec(tmp_path / "spec.toml", scan(), shrink=True).diagnostics == ()
