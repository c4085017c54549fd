"""`rlc run`: execute a plan, or continue a run."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.output import Output


def run(
    context: typer.Context,
    spec: Path = typer.Argument(help="A spec (.toml), or a plan (.json) that was saved."),
    sets: list[str] = typer.Option([], "--set", metavar="PATH=VALUE", help="Set one field; may be repeated."),
    run_dir: Path | None = typer.Option(None, "--run-dir", help="Where the run is kept [default: runs/NAME]."),
) -> int:
    """Execute a plan; on an existing run directory, continue it."""
    from rlc.running import execute, prepare

    output: Output = context.obj
    prepared = prepare(spec, overrides=sets, run_dir=run_dir)
    output.diagnostics(prepared.diagnostics)
    if prepared.job is None:
        return 1
    return execute(prepared.job)
