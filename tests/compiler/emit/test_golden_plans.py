"""Plans as they are saved: every number that compiling decides, for specs of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.ir.plan import read_plan
from rlc.catalogue import scan
from tests.compiler.emit.plan_specs import SPECS, plan_of, quickstart

Golden = Callable[[str, str], None]


def test_the_plan_of_the_quickstart(golden: Golden) -> None:
    golden("plans/quickstart.json", quickstart().plan.to_text())


@pytest.mark.parametrize("name", SPECS)
def test_the_plan_of_a_spec(name: str, tmp_path: Path, golden: Golden) -> None:
    text = plan_of(tmp_path, name).plan.to_text()
    assert str(tmp_path) not in text
    golden(f"plans/{name}.json", text)


@pytest.mark.parametrize("name", SPECS)
def test_a_saved_plan_is_read_as_the_same(name: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, name).plan
    assert read_plan(plan.to_text(), name="plan.json", params_of=scan().params_of) == plan


@pytest.mark.parametrize("name", SPECS)
def test_a_plan_does_not_depend_on_where_the_spec_is(name: str, tmp_path: Path) -> None:
    assert plan_of(tmp_path / "a/b", name).plan.to_text() == plan_of(tmp_path / "c", name).plan.to_text()
