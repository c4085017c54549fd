"""`rlc simulate`: run a plan in simulated time, with failures, slow machines and long responses."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.output import Output


def simulate(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    name: str | None = typer.Option(None, "--stage", help="Which stage [default: the first that samples]."),
    steps: int | None = typer.Option(None, "--steps", min=1, help="How many of its steps [default: all]."),
    seed: int = typer.Option(0, "--seed", help="Of every draw: the same seed is the same run."),
    failures: float = typer.Option(
        50_700.0,
        "--failures",
        metavar="GPU_HOURS",
        min=0,
        help="GPU hours from one failure to the next, 0 for none; the default is that of the training of Llama 3.",
    ),
    hangs: float = typer.Option(
        0.1, "--hangs", metavar="FRACTION", min=0, max=1, help="Failures that only a time limit notices."
    ),
    spread: float = typer.Option(
        0.02, "--spread", metavar="FRACTION", min=0, max=1, help="By how much machines differ in speed."
    ),
    restart: float = typer.Option(
        600.0, "--restart", metavar="SECONDS", min=0, help="Until a trainer that failed trains again."
    ),
    engine_restart: float = typer.Option(
        300.0, "--engine-restart", metavar="SECONDS", min=0, help="Until an engine that failed generates again."
    ),
    judge: float | None = typer.Option(
        None, "--judge", metavar="SECONDS", min=0, help="Mean time of a call [default: reward.expected_call_s, or 0]."
    ),
    turns: float | None = typer.Option(
        None,
        "--turns",
        metavar="COUNT",
        min=1,
        help="Mean turns [default: environment.expected_turns, or half of all].",
    ),
    turn: float | None = typer.Option(
        None, "--turn", metavar="SECONDS", min=0, help="Mean wait between turns [default: environment.expected_turn_s]."
    ),
    left_out: float = typer.Option(
        0.0, "--left-out", metavar="FRACTION", min=0, max=0.99, help="Groups that the filter leaves out."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> int:
    """Run a plan in simulated time, without a GPU.

    Says what a step takes, who waits, and what failures cost.  Times are those that the planner predicts; the order of
    actions is that of the runtime.
    """
    from compiler.emit.simulation_page import simulation_json, simulation_rows
    from compiler.ir.canonical import dump
    from compiler.planner.simulate.pace import Troubles
    from compiler.planner.simulate.plan_pace import Beside
    from rlc.cli.planning import resolved
    from rlc.cli.table import aligned
    from rlc.simulating import Line, simulate_stage

    output: Output = context.obj
    experiment = resolved(spec, sets, output).plan.experiment
    troubles = Troubles(failures, hangs, spread, engine_restart, restart)
    found = simulate_stage(experiment, Line(name, steps, seed), troubles, Beside(judge, left_out, turns, turn))
    if as_json:
        output.result(dump(simulation_json(found.outcome, found.assumed)))
    else:
        output.result(aligned(simulation_rows(found.outcome, found.assumed)))
    return 0
