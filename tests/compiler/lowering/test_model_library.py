"""RLC0230 and RLC0231: a fact of a library model changes for a reason, and a reason is for a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.support.good_spec import Changes, compiled

TRAINED: Changes = {"model.name": '"//models:qwen3_0_6b"', "model.weights": '"checkpoint"'}
REASON = '[{ fact = "rope_base", why = "continued at longer contexts" }]'


def told(folder: Path, changes: Changes, overrides: tuple[str, ...] = ()) -> list[tuple[str, tuple[str, ...]]]:
    compiled(folder, {**TRAINED, **changes})
    found = compile_spec(folder / "spec.toml", scan(), overrides=overrides).diagnostics
    return [(d.code, d.paths) for d in found if d.code in ("RLC0230", "RLC0231")]


def test_a_changed_fact_needs_a_reason(tmp_path: Path) -> None:
    assert told(tmp_path, {"model.rope_base": "5e6"}) == [("RLC0230", ("model.rope_base",))]
    assert told(tmp_path, {"model.rope_base": "5e6", "model.overrides": REASON}) == []
    assert told(tmp_path, {}, ("model.rope_base=5e6",)) == [("RLC0230", ("model.rope_base",))]


@pytest.mark.parametrize(
    "changes",
    [
        {"model.rope_base": "1_000_000"},
        {"model.max_position_tokens": '"40Ki"'},
        {"model.hf_id": '"Qwen/Qwen3-0.6B-Base"'},
        {"model.weights": '"random"', "model.rope_base": "5e6", "model.init_std": "0.01"},
    ],
)
def test_what_contradicts_nothing_needs_none(tmp_path: Path, changes: Changes) -> None:
    assert told(tmp_path, changes) == []


def test_a_fact_of_a_table_is_changed_by_its_path(tmp_path: Path) -> None:
    routed: Changes = {"model.name": '"//models:qwen3_30b_a3b"', "model.moe.experts_per_token": "4"}
    assert told(tmp_path, routed) == [("RLC0230", ("model.moe.experts_per_token",))]
    why = '[{ fact = "moe.experts_per_token", why = "a sparser run" }]'
    assert told(tmp_path, {**routed, "model.overrides": why}) == []


@pytest.mark.parametrize("fact", ["rope_base", "rope_bas", "weights", "moe.experts_per_token", "a.b.c", ""])
def test_a_reason_for_what_is_not_changed_is_refused(tmp_path: Path, fact: str) -> None:
    overrides = f'[{{ fact = "{fact}", why = "because" }}]'
    assert told(tmp_path, {"model.overrides": overrides}) == [("RLC0231", ("model.overrides",))]


def test_a_call_with_changes_says_its_reason_in_the_call(tmp_path: Path) -> None:
    spec = tmp_path / "spec.star"

    def codes(changes: str) -> list[str]:
        spec.write_text(
            'load("//models:qwen3.star", "qwen3_0_6b")\n'
            'experiment(name = "case", use = ["//recipes:sft"], cluster = dict(target = "cpu"), '
            'run = dict(max_steps = 1), train = dict(global_batch = 1), data = dict(train = [dict(path = "a.jsonl")]), '
            f'model = qwen3_0_6b(weights = "checkpoint"{changes}))\n'
        )
        return [d.code for d in compile_spec(spec, scan()).diagnostics]

    assert codes("") == []
    assert codes(", rope_base = 5e6") == ["RLC0230"]
    assert codes(', rope_base = 5e6, overrides = [dict(fact = "rope_base", why = "longer contexts")]') == []


def test_scaling_a_family_changes_no_model_of_the_library(tmp_path: Path) -> None:
    spec = tmp_path / "spec.star"
    spec.write_text(
        'load("//models:qwen3.star", "qwen3")\n'
        'experiment(name = "case", use = ["//recipes:sft"], cluster = dict(target = "cpu"), '
        'run = dict(max_steps = 1), train = dict(global_batch = 1), data = dict(train = [dict(path = "a.jsonl")]), '
        'model = qwen3(None, dict(weights = "checkpoint"), num_layers = 3, hidden_size = 64, '
        "intermediate_size = 96, num_heads = 8))\n"
    )
    found = compile_spec(spec, scan())
    assert [d.code for d in found.diagnostics] == []
    assert found.plan is not None
    assert (found.plan.experiment.model.num_layers, found.plan.experiment.model.qk_norm) == (3, "head")


def test_a_reason_stays_with_its_change_when_the_model_is_shrunk(tmp_path: Path) -> None:
    changes: Changes = {"model.num_layers": "20", "model.overrides": '[{ fact = "num_layers", why = "a cut" }]'}
    compiled(tmp_path, {**TRAINED, **changes})
    found = compile_spec(tmp_path / "spec.toml", scan(), shrink=True)
    assert [d.code for d in found.diagnostics] == []


@pytest.mark.parametrize(
    ("fact", "value"),
    [("rope_fraction", "0.5"), ("qkv_bias", "true"), ("num_mtp_layers", "1"), ("chat_template", '"llama3"')],
)
def test_a_fact_that_the_library_leaves_at_its_default_needs_a_reason_too(
    tmp_path: Path, fact: str, value: str
) -> None:
    assert told(tmp_path, {f"model.{fact}": value}) == [("RLC0230", (f"model.{fact}",))]
    assert told(tmp_path, {}, (f"model.{fact}={value}",)) == [("RLC0230", (f"model.{fact}",))]
    why = f'[{{ fact = "{fact}", why = "grown by hand" }}]'
    assert told(tmp_path, {f"model.{fact}": value, "model.overrides": why}) == []
    assert told(tmp_path, {f"model.{fact}": value, "model.weights": '"random"'}) == []


@pytest.mark.parametrize("same", [{"model.rope_fraction": "1.0"}, {"model.moe": '"off"'}, {"model.qkv_bias": "false"}])
def test_a_default_that_is_written_down_is_no_change(tmp_path: Path, same: Changes) -> None:
    assert told(tmp_path, same) == []


def test_a_table_that_the_library_leaves_out_is_one_change(tmp_path: Path) -> None:
    stretched: Changes = {"model.rope_scaling": '{ kind = "yarn", factor = 4.0, original_max_position_tokens = 40960 }'}
    assert told(tmp_path, stretched) == [("RLC0230", ("model.rope_scaling",))]
    why = '[{ fact = "rope_scaling", why = "continued at longer contexts" }]'
    assert told(tmp_path, {**stretched, "model.overrides": why}) == []


def test_a_fact_of_a_table_that_the_library_leaves_at_its_default(tmp_path: Path) -> None:
    routed: Changes = {"model.name": '"//models:qwen3_30b_a3b"', "model.moe.num_groups": "8"}
    assert told(tmp_path, routed) == [("RLC0230", ("model.moe.num_groups",))]
