"""`rlc plan`: resolve a spec and print what will happen."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.output import Output


def plan(
    context: typer.Context,
    spec: Path = typer.Argument(help="A spec (.toml)."),
    sets: list[str] = typer.Option([], "--set", metavar="PATH=VALUE", help="Set one field; may be repeated."),
    as_json: bool = typer.Option(False, "--json", help="Print plan.json instead of the page."),
) -> int:
    """Resolve a spec, check every rule, and print the plan."""
    from compiler.compile import compile_spec
    from rlc.catalogue import scan

    output: Output = context.obj
    compiled = compile_spec(spec, scan(), overrides=sets)
    code = output.diagnostics(compiled.diagnostics)
    if compiled.plan is None:
        return code
    output.result(compiled.plan.to_text())
    return code
