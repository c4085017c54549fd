"""`rlc check`: every rule over many specs, for continuous integration and before a commit."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.output import Output


def check(
    context: typer.Context,
    specs: list[Path] = typer.Argument(help="Specs, or folders whose .toml files are all specs."),
    sets: list[str] = typer.Option([], "--set", metavar="PATH=VALUE", help="Set one field in each; may be repeated."),
    as_json: bool = typer.Option(False, "--json", help="Print the diagnostics as JSON."),
) -> int:
    """Check specs without making anything of them."""
    from compiler.compile import compile_spec
    from compiler.diagnostics.diagnostic import Diagnostic
    from rlc.catalogue import scan

    output: Output = context.obj
    catalogue = scan()
    found: list[Diagnostic] = []
    num_wrong = 0
    files = [file for spec in specs for file in _specs_of(spec)]
    for file in files:
        diagnostics = compile_spec(file, catalogue, overrides=sets).diagnostics
        num_wrong += any(d.severity == "error" for d in diagnostics)
        found += diagnostics
    code = output.diagnostics(found, as_json=as_json)
    if not as_json:
        wrong = "no errors" if num_wrong == 0 else f"errors in {num_wrong}"
        output.result(f"{len(files)} spec{'' if len(files) == 1 else 's'} checked: {wrong}")
    return code


def _specs_of(spec: Path) -> list[Path]:
    if not spec.is_dir():
        return [spec]
    # A folder without specs is named as it is, so that its diagnostic says so.
    return sorted(p for p in spec.rglob("*.toml") if p.name != "rlc.toml") or [spec]
