"""`until`: a measured bound of a stage, read from a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.data import Until
from compiler.ir.openness import OFF
from tests.support.good_spec import Changes, compiled

EVAL: Changes = {
    "eval.sets": '[{ name = "held", path = "h.jsonl" }, { name = "v1.5", path = "i.jsonl" }]',
    "eval.samples_per_prompt": "8",
    "eval.metrics": '["pass", "avg"]',
}


def until_of(folder: Path, text: str) -> object:
    found = compiled(folder, {**EVAL, "until": text})
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan.experiment.stages[0].until


@pytest.mark.parametrize(
    ("text", "metric", "op", "threshold"),
    [
        ("eval.held.accuracy >= 0.33", "eval/held/accuracy", ">=", 0.33),
        ("eval.held.greedy>1", "eval/held/greedy", ">", 1.0),
        ("  eval.held.accuracy   <   -.5e-1 ", "eval/held/accuracy", "<", -0.05),
        ("eval.held.accuracy <= 1_000", "eval/held/accuracy", "<=", 1000.0),
        ("eval.v1.5.accuracy > 0.5", "eval/v1.5/accuracy", ">", 0.5),
        ("eval.held.pass@4 > 0.5", "eval/held/pass@4", ">", 0.5),
        ("eval.v1.5.avg@8 > 0.5", "eval/v1.5/avg@8", ">", 0.5),
    ],
)
def test_a_bound_is_a_metric_a_comparison_and_a_number(
    tmp_path: Path, text: str, metric: str, op: str, threshold: float
) -> None:
    found = until_of(tmp_path, f'"{text}"')
    assert isinstance(found, Until)
    assert (found.metric, found.op, found.threshold) == (metric, op, threshold)


def test_off_is_no_bound(tmp_path: Path) -> None:
    assert until_of(tmp_path, '"off"') is OFF


@pytest.mark.parametrize(
    "text",
    [
        '""',
        '"eval.held.accuracy"',
        '"0.5 <= eval.held.accuracy"',
        '"eval.held.accuracy == 0.5"',
        '"eval.held.accuracy >= nan"',
        '"eval.held.accuracy >= 0.5 and eval.held.greedy >= 0.5"',
        '"eval.held.loss >= 0.5"',
        '"eval.other.accuracy >= 0.5"',
        '"eval.held.pass@ >= 0.5"',
        '"eval.held.pass@04 >= 0.5"',
        '"eval.held.pass >= 0.5"',
        '"eval.other.pass@4 >= 0.5"',
        "0.5",
        "[]",
        "{ metric = 1 }",
    ],
)
def test_any_other_text_is_an_error(tmp_path: Path, text: str) -> None:
    found = compiled(tmp_path, {**EVAL, "until": text})
    assert [d.code for d in found.diagnostics] == ["RLC0208"]


def test_greedy_accuracy_is_a_metric_only_where_it_is_measured(tmp_path: Path) -> None:
    found = compiled(tmp_path, {**EVAL, "eval.greedy": "false", "until": '"eval.held.greedy > 0.5"'})
    assert [d.message for d in found.diagnostics] == ["there is no metric eval.held.greedy"]


def test_a_bound_without_an_evaluation_is_an_error(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"until": '"eval.held.accuracy > 0.5"'})
    assert [d.code for d in found.diagnostics] == ["RLC0208"]


def test_nothing_is_said_about_a_bound_on_an_evaluation_that_cannot_be_read(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"eval": "3", "until": '"eval.held.accuracy > 0.5"'})
    assert [d.code for d in found.diagnostics] == ["RLC0203"]
