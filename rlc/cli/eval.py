"""`rlc eval`: measure a checkpoint, and train nothing."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.output import Output
from rlc.cli.table import aligned


def evaluate(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec (.toml, .star, .star:NAME), or a plan (.json) that was saved."
    ),
    checkpoint: str = typer.Option(
        "latest", "--checkpoint", metavar="PATH", help="A checkpoint, `latest` of the run, or `initial` weights."
    ),
    only: list[str] = typer.Option([], "--only", metavar="NAME", help="One held-out set; may be repeated."),
    stage: str = typer.Option("", "--stage", help="Whose evaluation [default: of the checkpoint's stage]."),
    samples: int | None = typer.Option(None, "--samples", "-n", min=1, help="Responses for each prompt."),
    prompts: int | None = typer.Option(None, "--prompts", min=1, help="At most this many prompts of each set."),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Evaluate what `rlc run --shrink` trains."),
    policies: list[Path] = typer.Option(
        [], "--policy", metavar="FILE", help="A .star file of what plans must satisfy; may be repeated."
    ),
    file: Path | None = typer.Option(None, "-o", "--output", help="The result [default: eval.json of the run]."),
    run_dir: Path | None = typer.Option(None, "--run-dir", help="Where the run is kept [default: runs/NAME]."),
    root: Path | None = typer.Option(
        None, "--root", help="Of a saved plan: the folder that its paths are relative to."
    ),
) -> int:
    """Evaluate a checkpoint of a run, and train nothing."""
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.evaluating import Asked
    from rlc.evaluating import evaluate as measure
    from rlc.running import Place, exit_code, prepare

    output: Output = context.obj
    if root is not None and spec.suffix != ".json":
        raise typer.BadParameter("only a saved plan is given a root; that of a spec follows from where it is")
    place = Place(root, run_dir)
    prepared = prepare(spec, overrides=sets, place=place, shrink=shrink, policies=policies, continues=False)
    output.diagnostics(prepared.diagnostics)
    if prepared.job is None:
        return 1
    try:
        result = measure(prepared.job, checkpoint, Asked(stage, tuple(only), samples, prompts), file=file)
    except SpecError as fault:
        output.diagnostics(fault.diagnostics)
        return exit_code(fault)
    for warning in result.warnings:
        output.error(f"warning: {warning}\n")
    output.result(f"{aligned(result.rows)}\nwritten to {result.file}")
    return 0
