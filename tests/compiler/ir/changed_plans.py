"""Plans that differ in one field: every leaf of a plan with another value of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from compiler.compile import compile_spec
from compiler.ir.openness import OFF
from compiler.ir.paths import leaves, replaced
from compiler.ir.plan import Plan
from rlc.catalogue import scan

QUICKSTART = Path(__file__).parents[3] / "experiments/quickstart.toml"


@cache
def quickstart() -> Plan:
    """Return the plan of the shipped experiment of two stages, with a reference model and a reward."""
    plan = compile_spec(QUICKSTART, scan(), overrides=('stages.grpo.loss.kl.estimator="k3"',)).plan
    assert plan is not None
    return plan


def changed_plans(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield each leaf of the experiment with the plan in which it alone has another value."""
    for path, value in leaves(plan.experiment):
        yield path, plan.replacing(experiment=replaced(plan.experiment, path, _another(value)))


def _another(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, tuple):
        return (*value, 1)
    assert value is OFF
    return 7
