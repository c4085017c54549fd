"""`rlc emit`: write what brings a plan to a cluster."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_artefact, complete_plan, complete_setting
from rlc.cli.output import Output


def emit(
    context: typer.Context,
    artefact: str | None = typer.Argument(
        None, autocompletion=complete_artefact, help="What is to be written; --list says what there is."
    ),
    spec: Path | None = typer.Argument(
        None, autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    folder: Path | None = typer.Option(
        None, "-o", "--output", metavar="DIR", help="Where to write it [default: launch/NAME/ARTEFACT]."
    ),
    lists: bool = typer.Option(False, "--list", help="List the artefacts."),
) -> int:
    """Write files that bring a plan to a cluster.

    plan.json stands beside them.  What a cluster asks for is said in [launch] of the spec.
    """
    from compiler.emit.artefacts.catalogue import artefact_called, artefacts
    from rlc.emitting import emit as make
    from rlc.emitting import write

    output: Output = context.obj
    if lists:
        from rlc.cli.table import aligned

        output.result(aligned([(one.name, one.summary) for one in artefacts()]))
        return 0
    if artefact is None or spec is None:
        raise typer.BadParameter("name an artefact and a spec or a plan; --list says which artefacts there are")
    chosen = artefact_called(artefact)
    made = make(chosen, spec, overrides=sets)
    output.diagnostics(made.warnings)
    place = folder or Path("launch") / made.plan.experiment.name / chosen.name
    write(made.files, place)
    output.result("\n".join(str(place / file.name) for file in made.files))
    return 0
