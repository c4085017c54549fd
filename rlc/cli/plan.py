"""`rlc plan`: resolve a spec and show what will happen, save it, hold it against a golden plan, or say what changed."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.planning import PlanRequest, make_plan


def plan(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Make it small enough for one CPU process: tiny random model."),
    policies: list[Path] = typer.Option(
        [], "--policy", metavar="FILE", help="A .star file of what plans must satisfy; may be repeated."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Print plan.json instead of the page; of several experiments an object of them by name."
    ),
    engines: bool = typer.Option(
        False, "--engines", help="Print how every engine is started: a line of a shell each, or its records."
    ),
    saved_as: Path | None = typer.Option(None, "-o", "--output", metavar="FILE", help="Write plan.json to a file."),
    golden: Path | None = typer.Option(
        None, "--check", metavar="PLAN.json", help="Compare with a saved plan; exit with 3 if it is another one."
    ),
    other: str | None = typer.Option(
        None,
        "--diff",
        metavar="OTHER",
        help="Say what changed since OTHER and why: a spec, a saved plan (.json), or a git revision of SPEC.",
    ),
    what_if: list[str] = typer.Option(
        [],
        "--what-if",
        metavar="PATH=VALUE",
        autocompletion=complete_setting,
        help="Show the plan beside the one with this field changed, and why they differ; may be repeated.",
    ),
    timeline: Path | None = typer.Option(
        None,
        "--timeline",
        metavar="FILE",
        help="Draw the phases of a step and the memory of each, as .svg or .html.",
    ),
    explain_choice: bool = typer.Option(
        False,
        "--explain-choice",
        help="Say why this layout of GPUs and no other, and what each constraint costs.",
    ),
) -> int:
    """Resolve a spec, check every rule, and print the plan."""
    given = (
        ("--json", as_json),
        ("--engines", engines),
        ("-o", saved_as),
        ("--check", golden),
        ("--diff", other),
        ("--timeline", timeline),
        ("--explain-choice", explain_choice),
    )
    chosen = [name for name, value in given if value not in (None, False)]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other: each says what is to be made of the plan")
    if what_if and chosen and not as_json:
        raise typer.BadParameter(f"--what-if shows two plans, and {chosen[0]} is about one")
    request = PlanRequest(
        spec,
        tuple(sets),
        as_json,
        saved_as,
        golden,
        other,
        shrink,
        tuple(policies),
        timeline=timeline,
        engines=engines,
        explain_choice=explain_choice,
        what_if=tuple(what_if),
    )
    return make_plan(request, context.obj)
