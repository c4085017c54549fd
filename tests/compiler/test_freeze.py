"""Freezing: the only way from an experiment to a plan, and only for one that leaves nothing open."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from checks.tree import ROOT
from compiler.diagnostics.diagnostic import InternalError
from compiler.freeze import freeze
from compiler.ir.openness import AUTO
from compiler.ir.paths import leaves, replaced
from compiler.planner.forecast import forecast
from tests.compiler.passes.lowered_specs import lowered
from tests.support.good_spec import GRPO, compiled


def test_a_resolved_experiment_becomes_a_plan_with_its_forecast(tmp_path: Path) -> None:
    found = compiled(tmp_path, {})
    assert found.subject is not None
    assert found.plan is not None
    plan = freeze(found.subject.experiment)
    assert plan == found.plan
    assert plan.experiment is found.subject.experiment
    assert plan.forecast == forecast(plan.experiment, dict)


@pytest.mark.parametrize("path", ["stages.0.train.global_batch", "stages.0.seeds", "placement.roles", "model.weights"])
def test_an_open_field_is_named(tmp_path: Path, path: str) -> None:
    subject = compiled(tmp_path, {}).subject
    assert subject is not None
    with pytest.raises(InternalError, match=f"still open: {path}$"):
        freeze(replaced(subject.experiment, path, AUTO))


def test_an_experiment_before_its_passes_cannot_be_frozen() -> None:
    subject = lowered("".join(f"{path} = {value}\n" for path, value in GRPO.items()))
    still_open = [path for path, value in leaves(subject.experiment) if value is AUTO]
    with pytest.raises(InternalError) as caught:
        freeze(subject.experiment)
    assert str(caught.value) == f"freeze: still open: {', '.join(still_open)}"


def test_nothing_else_makes_a_plan() -> None:
    makers = set()
    for folder in ("compiler", "rlc", "runtime", "stdlib", "targets"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Plan":
                    makers.add(str(path.relative_to(ROOT)))
    assert makers == {"compiler/freeze.py", "compiler/ir/plan.py"}
