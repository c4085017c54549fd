"""What holds of every pass: it is pure, keeps what was written, closes only what is open, and says why."""

from __future__ import annotations

from hypothesis import given, settings

from compiler.compile import check_rules
from compiler.freeze import freeze
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves, read
from compiler.passes.pipeline import PIPELINE, run_pipeline
from tests.compiler.passes.lowered_specs import lowered, spec_texts, step_by_step
from tests.support.good_spec import GRPO

# What each pass may close, with all below it.
CLOSES = {
    "lay_out_gpus": ("cluster.gpu", "cluster.num_gpus", "placement", "parallel"),
    "solve_equations": ("rollout", "train", "run.max_steps", "optim.total_steps"),
    "derive_token_limits": (
        "rollout.max_prompt_tokens",
        "rollout.max_context_tokens",
        "reward.shaping.overlong",
    ),
    "inherit_eval_sampling": ("eval.sampling",),
    "inherit_eval_settings": ("eval.max_response_tokens", "eval.k", "eval.answer", "eval.sets."),
    "copy_clip_range": ("loss.clip_high",),
    "set_loss_constant": ("loss.constant_tokens",),
    "choose_engines": tuple(f"{role}.engine.{field}" for role in ("rollout", "train") for field in ("name", "version")),
    "choose_tool_parser": ("environment.parser",),
    "budget_micro_batches": ("train.packing.tokens", "train.vocab_chunk", "rollout.concurrency", "rollout.engine"),
    "weigh_sequences": ("train.packing.flops",),
    "name_reference": ("reference",),
    "name_data_formats": ("data.train.", "eval.sets."),
    "derive_seeds": ("seeds",),
    "choose_layout": ("parallel", "placement", "train.packing.tokens", "train.engine"),
    "place_actors": ("placement.roles",),
    "set_environment": ("cluster.environment",),
    "launch_engines": ("placement.launches",),
    "count_budget": ("budget",),
    "derive_timeouts": ("timeouts.",),
}


@settings(max_examples=30)
@given(spec_texts())
def test_a_pass_leaves_its_input_alone_and_does_the_same_each_time(text: str) -> None:
    subject = lowered(text)
    experiment = subject.experiment
    for step in PIPELINE:
        before = repr(experiment)
        after = step.run(experiment, subject.origins, subject.catalogue)
        assert repr(experiment) == before, step.name
        assert step.run(experiment, subject.origins, subject.catalogue) == after, step.name
        experiment = after


@settings(max_examples=30)
@given(spec_texts())
def test_a_pass_closes_what_is_open_and_changes_nothing_else(text: str) -> None:
    subject = lowered(text)
    for name, before, after in step_by_step(subject):
        old, new = dict(leaves(before)), dict(leaves(after))
        for path, value in old.items():
            if not isinstance(value, Auto):
                assert new[path] == value, (name, path)
        for path in new.keys() - {p for p, v in old.items() if new.get(p) is v}:
            field = path.split(".", 2)[2] if path.startswith("stages.") else path
            assert field.startswith(CLOSES[name]), (name, path)
            origin = subject.origins[path]
            assert origin.kind in ("derived", "assumed", "inherited"), (name, path)
            assert origin.by in (name, "batch identity", "optimizer horizon"), (name, path)


@settings(max_examples=30)
@given(spec_texts())
def test_what_was_written_is_what_the_resolved_experiment_holds(text: str) -> None:
    subject = lowered(text)
    resolved = run_pipeline(subject.experiment, subject.origins, subject.catalogue)
    for path, value in subject.written_values:
        assert read(resolved, path) == value, path
        assert subject.origins[path].kind in ("spec", "override")


@settings(max_examples=30)
@given(spec_texts())
def test_what_is_still_open_after_the_pipeline_is_reported_by_a_rule(text: str) -> None:
    subject = lowered(text)
    resolved = run_pipeline(subject.experiment, subject.origins, subject.catalogue)
    found = list(check_rules(subject._replace(experiment=resolved)))
    still_open = [path for path, value in leaves(resolved) if isinstance(value, Auto)]
    if still_open:
        assert [d for d in found if d.severity == "error"]
    elif not found:
        assert dict(leaves(freeze(resolved).experiment)) == dict(leaves(resolved))


def test_a_second_run_of_the_pipeline_changes_nothing() -> None:
    subject = lowered("".join(f"{path} = {value}\n" for path, value in GRPO.items()))
    once = run_pipeline(subject.experiment, subject.origins, subject.catalogue)
    assert run_pipeline(once, subject.origins, subject.catalogue) == once


def test_every_pass_is_named_as_its_function_and_its_file() -> None:
    assert [step.name for step in PIPELINE] == list(CLOSES)
    for step in PIPELINE:
        assert step.run.__name__ == step.name
        assert step.run.__module__ == f"compiler.passes.{step.name}"
