"""`rlc run`: execute a plan, or continue a run."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.output import Output


def run(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Run it made small enough for one CPU process."),
    policies: list[Path] = typer.Option(
        [], "--policy", metavar="FILE", help="A .star file of what plans must satisfy; may be repeated."
    ),
    run_dir: Path | None = typer.Option(None, "--run-dir", help="Where the run is kept [default: runs/NAME]."),
    root: Path | None = typer.Option(
        None, "--root", help="Of a saved plan: the folder that its paths are relative to."
    ),
) -> int:
    """Execute a plan; on an existing run directory, continue it."""
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.running import Place, execute, exit_code, prepare

    output: Output = context.obj
    if root is not None and spec.suffix != ".json":
        raise typer.BadParameter("only a saved plan is given a root; that of a spec follows from where it is")
    prepared = prepare(spec, overrides=sets, place=Place(root, run_dir), shrink=shrink, policies=policies)
    output.diagnostics(prepared.diagnostics)
    if prepared.job is None:
        return 1
    try:
        return execute(prepared.job, color=output.result_color, ascii_only=output.result_ascii_only)
    except SpecError as fault:
        output.diagnostics(fault.diagnostics)
        return exit_code(fault)
