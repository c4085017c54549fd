"""`rlc doctor`: whether machines have what a plan asks of them, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.output import Output
from rlc.cli.table import aligned


def doctor(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Ask for it made small enough for one CPU process."),
    run_dir: Path | None = typer.Option(None, "--run-dir", help="Where the run will be kept [default: runs/NAME]."),
    root: Path | None = typer.Option(
        None, "--root", help="Of a saved plan: the folder that its paths are relative to."
    ),
) -> int:
    """Say what machines lack for a plan.

    Compared are devices, memory, ports, versions of packages, files, and whether machines reach each other.
    """
    from rlc.doctoring import doctor as examine
    from rlc.running import Changes, Place, planned

    output: Output = context.obj
    if root is not None and spec.suffix != ".json":
        raise typer.BadParameter("only a saved plan is given a root; that of a spec follows from where it is")
    prepared = planned(spec, Changes(tuple(sets), shrink), Place(root, run_dir))
    output.diagnostics(prepared.diagnostics)
    if prepared.job is None:
        return 1
    found = examine(prepared.job)
    output.result(aligned(found.rows))
    output.diagnostics(found.diagnostics)
    return 0 if found.can_run else 4
