"""Plain command lines of `rlc plan`, held against what Typer reads from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rlc.cli.main import app
from rlc.cli.plan_line import read_plan_line
from rlc.cli.planning import PlanRequest

WORDS = ["plan", "spec.toml", "other.toml", "--json", "--shrink", "--set"]
WORDS += ["a.b=c", "a=-1", "-x", "--set=a=b", "--", "-o", "", "-h"]


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("plan spec.toml", PlanRequest(Path("spec.toml"))),
        ("plan --json spec.toml", PlanRequest(Path("spec.toml"), as_json=True)),
        ("plan --shrink spec.toml", PlanRequest(Path("spec.toml"), shrink=True)),
        ("plan spec.toml --set a=1 --set b=2", PlanRequest(Path("spec.toml"), ("a=1", "b=2"))),
    ],
)
def test_plain_lines_are_read(line: str, request_: PlanRequest) -> None:
    assert read_plan_line(line.split()) == request_


@pytest.mark.parametrize(
    "line",
    ["", "plan", "run spec.toml", "--ascii plan spec.toml", "plan a b", "plan -h", "plan a --diff b", "plan a --set"],
)
def test_all_others_are_left_to_typer(line: str) -> None:
    assert read_plan_line(line.split()) is None


@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_typer_reads_the_same_from_every_line_that_is_accepted(words: list[str]) -> None:
    found = read_plan_line(["plan", *words])
    if found is not None:
        assert found == _read_by_typer(words)


def _read_by_typer(words: list[str]) -> PlanRequest:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    read = group.commands["plan"].make_context("plan", list(words)).params
    return PlanRequest(Path(str(read["spec"])), tuple(read["sets"]), bool(read["as_json"]), shrink=bool(read["shrink"]))
