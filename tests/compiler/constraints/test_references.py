"""`${...}`: the value of an expression over resolved fields, with the type of its field."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.ir.openness import OFF
from compiler.ir.rollout import Rollout
from rlc.catalogue import scan
from tests.compiler.constraints.small_specs import field, outcome
from tests.support.good_spec import Changes, codes, compiled, messages

STAGES = """rlc = 1
name = "case"
model.name = "//models:tiny_qwen3"
cluster.target = "cpu"
run.max_steps = 6
data.train = [{{ path = "train.jsonl" }}]
{shared}

[[stages]]
name = "warm-up"
use = ["//recipes:sft"]
train.global_batch = 16
{first}

[[stages]]
name = "rl"
use = ["//recipes:grpo"]
reward.name = "exact"
rollout.prompts_per_step = 4
rollout.max_response_tokens = 16
{second}
"""

GROUP = "rollout.samples_per_prompt = 8"


def of_stages(folder: Path, *, shared: str = "", first: str = "", second: str = "") -> Compiled:
    spec = folder / "spec.toml"
    spec.write_text(STAGES.format(shared=shared, first=first, second=second))
    return compile_spec(spec, scan())


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("train.global_batch", "${rollout.prompts_per_step * rollout.samples_per_prompt}", 32),
        ("rollout.max_response_tokens", "${model.max_position_tokens // 32}", 16),
        ("optim.lr", "${1 / 1000}", 0.001),
        ("optim.lr", "${2}", 2.0),
        ("optim.weight_decay", "${optim.lr * 3}", 3e-6),
        ("data.shuffle", "${rollout.samples_per_prompt < 8}", False),
        ("rollout.overlong_prompts", "${'drop' if run.max_steps > 5 else 'error'}", "drop"),
        ("optim.clip_grad_norm", "${'off'}", OFF),
        ("rollout.sampling.top_k", "${rollout.sampling.top_k}", None),
        ("rollout.stop_token_ids", "${[1, 2 + 3]}", (1, 5)),
        ("train.packing.tokens", "${'1Ki'}", 1024),
        ("rollout.concurrency", "${max(rollout.prompts_per_step, 6)}", 6),
        ("run.seed", "${len(data.train)}", 1),
    ],
)
def test_a_reference_is_read_as_its_field_is(tmp_path: Path, path: str, text: str, value: object) -> None:
    if value is None:
        assert codes(tmp_path, {path: f'"{text}"'}) == ["RLC0220"]
        return
    found = field(outcome(tmp_path, {path: f'"{text}"'}), path)
    assert found == value
    assert type(found) is type(value)


def test_a_plan_does_not_tell_a_reference_from_its_value(tmp_path: Path) -> None:
    by_reference = outcome(tmp_path, {"train.global_batch": '"${4 * rollout.samples_per_prompt}"'}).plan
    by_value = outcome(tmp_path, {"train.global_batch": "32"}).plan
    assert by_reference is not None
    assert by_value is not None
    assert by_reference.hash == by_value.hash


def test_references_may_read_references_in_any_order(tmp_path: Path) -> None:
    changes: Changes = {
        "optim.warmup_steps": '"${optim.total_steps // 5}"',
        "optim.total_steps": '"${run.max_steps * train.steps_per_rollout}"',
        "train.steps_per_rollout": '"${rollout.prompts_per_step // 2}"',
        "train.global_batch": "16",
    }
    assert field(outcome(tmp_path, changes), "optim.warmup_steps") == 4


def test_a_reference_may_read_what_a_pass_derives(tmp_path: Path) -> None:
    changes: Changes = {"train.packing.tokens": '"${2 * rollout.max_context_tokens}"'}
    found = outcome(tmp_path, changes)
    assert field(found, "train.packing.tokens") == 2 * 512


def test_a_reference_may_read_what_is_derived_from_another_reference(tmp_path: Path) -> None:
    changes: Changes = {
        "rollout.max_prompt_tokens": '"${rollout.samples_per_prompt * 4}"',
        "train.packing.tokens": '"${2 * rollout.max_context_tokens}"',
    }
    assert field(outcome(tmp_path, changes), "train.packing.tokens") == 2 * (32 + 16)


def test_the_origin_of_a_reference_names_what_it_was_read_from(tmp_path: Path) -> None:
    found = outcome(tmp_path, {"train.global_batch": '"${rollout.prompts_per_step * 8}"'})
    assert found.subject is not None
    origin = found.subject.origins["stages.0.train.global_batch"]
    assert origin.kind == "derived"
    assert origin.by == "${rollout.prompts_per_step * 8}"
    assert origin.inputs == ("stages.0.rollout.prompts_per_step",)
    assert origin.span is not None
    assert origin.span.text == '"${rollout.prompts_per_step * 8}"'


def test_a_text_may_hold_the_mark_of_a_reference(tmp_path: Path) -> None:
    found = outcome(tmp_path, {"data.train": '[{ path = "a$${b}.jsonl", input_key = "$${x}" }]'})
    assert field(found, "data.train.0.path") == "a${b}.jsonl"
    assert field(found, "data.train.0.input_key") == "${x}"


def test_the_command_line_may_refer_to_fields(tmp_path: Path) -> None:
    outcome(tmp_path, {})
    changed = compile_spec(tmp_path / "spec.toml", scan(), overrides=['optim.warmup_steps="${run.max_steps // 2}"'])
    assert field(changed, "optim.warmup_steps") == 5


def test_a_stronger_value_takes_the_place_of_a_reference(tmp_path: Path) -> None:
    outcome(tmp_path, {"optim.warmup_steps": '"${run.max_steps // 2}"'})
    changed = compile_spec(tmp_path / "spec.toml", scan(), overrides=["optim.warmup_steps=1"])
    assert field(changed, "optim.warmup_steps") == 1


def test_a_name_is_looked_up_in_its_stage_then_at_the_root(tmp_path: Path) -> None:
    found = of_stages(
        tmp_path,
        first='optim.warmup_steps = "${run.max_steps // 3}"',
        second='optim.warmup_steps = "${run.seed + 1}"\nrun.max_steps = 9\nrollout.samples_per_prompt = 8',
    )
    assert found.plan is not None, found.diagnostics
    assert [stage.optim.warmup_steps for stage in found.plan.experiment.stages] == [2, 1]


def test_a_shared_reference_is_evaluated_in_each_stage(tmp_path: Path) -> None:
    found = of_stages(
        tmp_path,
        shared='optim.warmup_steps = "${run.max_steps // 3}"',
        second="run.max_steps = 9\nrollout.samples_per_prompt = 8",
    )
    assert found.plan is not None, found.diagnostics
    assert [stage.optim.warmup_steps for stage in found.plan.experiment.stages] == [2, 3]


@pytest.mark.parametrize("name", ["stages['warm-up']", "stages[0]"])
def test_fields_of_another_stage_are_named_with_it(tmp_path: Path, name: str) -> None:
    found = of_stages(
        tmp_path, second=f'train.global_batch = "${{2 * {name}.train.global_batch}}"\ntrain.steps_per_rollout = 1'
    )
    assert found.plan is not None, found.diagnostics
    rl = found.plan.experiment.stages[1]
    assert isinstance(rl.rollout, Rollout)
    assert (rl.train.global_batch, rl.rollout.samples_per_prompt) == (32, 8)


def test_at_the_root_the_stage_is_named_where_there_are_several(tmp_path: Path) -> None:
    wrong = of_stages(tmp_path, shared='run.seed = "${train.global_batch}"', second=GROUP)
    assert [d.code for d in wrong.diagnostics] == ["RLC0221"]
    right = of_stages(tmp_path, shared='run.seed = "${stages.rl.rollout.prompts_per_step}"', second=GROUP)
    assert right.plan is not None, right.diagnostics
    assert right.plan.experiment.run.seed == 4


def test_what_follows_from_a_broken_reference_is_not_said(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": '"${rollout.no_such}"'}) == ["RLC0221"]
    assert codes(tmp_path, {"rollout.max_response_tokens": '"${rollout.max_context_tokens}"'}) == ["RLC0220"]


def test_a_fault_of_syntax_is_marked_inside_the_text(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"train.global_batch": '"${rollout.prompts_per_step = 3}"'})
    (diagnostic,) = found.diagnostics
    assert diagnostic.code.startswith("RLC012")
    primary = next(label for label in diagnostic.labels if label.is_primary)
    assert primary.span.text == "="


def test_a_text_with_escapes_is_marked_as_a_whole(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"train.global_batch": '"${rollout\\u002Eno_such}"'})
    (diagnostic,) = found.diagnostics
    assert [label.span.text for label in diagnostic.labels] == ['"${rollout\\u002Eno_such}"']


def test_a_reference_that_never_ends_is_told_by_the_parser(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": '"${max(1, 2}"'}) == ["RLC0124"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.name": '"${name}"'}, "`${name}` is not the label of a model"),
        ({"cluster.target": '"${name}"'}, "cluster.target names no target"),
        ({"eval": '"${1}"'}, "eval cannot be a reference"),
        ({"reward.name": '"${name}"'}, "reward.name cannot be a reference"),
    ],
)
def test_what_is_read_first_cannot_be_a_reference(tmp_path: Path, changes: Changes, message: str) -> None:
    assert message in messages(tmp_path, changes)


def test_a_reference_in_a_recipe_is_overridden_like_any_value(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('optim.warmup_steps = "${run.max_steps // 5}"\n')
    use = '["//recipes:grpo", "base.toml"]'
    assert field(outcome(tmp_path, {"use": use}), "optim.warmup_steps") == 2
    assert field(outcome(tmp_path, {"use": use, "optim.warmup_steps": "1"}), "optim.warmup_steps") == 1
