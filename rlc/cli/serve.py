"""`rlc serve`: answer requests with the weights of a run, over HTTP."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.completion import complete_plan, complete_setting
from rlc.cli.output import Output


def serve(
    context: typer.Context,
    spec: Path = typer.Argument(
        autocompletion=complete_plan, help="A spec, a plan (.json), a run directory, or one of its checkpoints."
    ),
    checkpoint: str = typer.Option(
        "latest", "--checkpoint", metavar="PATH", help="A checkpoint, `latest` of the run, or `initial` weights."
    ),
    stage: str = typer.Option("", "--stage", help="Whose [rollout] is taken [default: the last that has one]."),
    host: str = typer.Option("127.0.0.1", "--host", help="The address to listen at."),
    port: int = typer.Option(30000, "--port", min=0, max=65535, help="The port; 0 takes a free one."),
    token_env: str = typer.Option("", "--token-env", metavar="NAME", help="The variable that holds the token."),
    token_file: Path | None = typer.Option(
        None, "--token-file", metavar="FILE", help="Where a new token is written [default: serve.token of the run]."
    ),
    drain_s: float = typer.Option(30.0, "--drain-s", min=1, help="Seconds that responses may take at the end."),
    weights_from: list[Path] = typer.Option(
        [], "--weights-from", metavar="FOLDER", help="Where new weights may be read from, too; may be repeated."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Serve what `rlc run --shrink` trains."),
    run_dir: Path | None = typer.Option(None, "--run-dir", help="Where the run is kept [default: runs/NAME]."),
    root: Path | None = typer.Option(
        None, "--root", help="Of a saved plan: the folder that its paths are relative to."
    ),
) -> int:
    """Serve the weights of a run over HTTP, by SGLang's interface."""
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.running import Place, exit_code, prepare
    from rlc.serving import Listening, subject
    from rlc.serving import serve as serve_job

    output: Output = context.obj
    named = subject(spec, checkpoint)
    if root is not None and named.spec.suffix != ".json":
        raise typer.BadParameter("only a saved plan is given a root; that of a spec follows from where it is")
    place = Place(root, run_dir)
    prepared = prepare(named.spec, overrides=sets, place=place, shrink=shrink, continues=False)
    output.diagnostics(prepared.diagnostics)
    if prepared.job is None:
        return 1
    try:
        listening = Listening(host, port, stage, token_env, token_file, drain_s, tuple(weights_from))
        serve_job(prepared.job, named.checkpoint, listening, say=output.result)
    except SpecError as fault:
        output.diagnostics(fault.diagnostics)
        return exit_code(fault)
    return 0
