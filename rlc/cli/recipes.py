"""`rlc recipes`: the recipes of the standard library and of the further roots here, or the text of one."""

from __future__ import annotations

import typer

from rlc.cli.completion import complete_recipe
from rlc.cli.output import Output


def recipes(
    context: typer.Context,
    name: str | None = typer.Argument(
        None, autocompletion=complete_recipe, help="A recipe, such as grpo: prints its text."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the list as JSON."),
) -> int:
    """List recipes, or print one.

    They are those of the standard library and of the roots that rlc.toml names.
    """
    from compiler.ir.canonical import dump
    from rlc.catalogue import scan
    from rlc.cli.table import aligned
    from rlc.library import roots_here
    from rlc.recipes import read_recipe, read_recipes

    output: Output = context.obj
    catalogue = scan()
    roots = roots_here(catalogue)
    if name is not None and not as_json:
        output.result(read_recipe(name, catalogue, roots).text)
        return 0
    found = read_recipes(catalogue, roots) if name is None else (read_recipe(name, catalogue, roots),)
    if as_json:
        output.result(dump([{"label": r.label, "summary": r.summary, "parameters": dict(r.parameters)} for r in found]))
        return 0
    rows: list[tuple[str, str]] = []
    for recipe in found:
        rows.append((recipe.label, recipe.summary))
        shown = ", ".join(f"{name} = {default}" if default else name for name, default in recipe.parameters)
        rows += [("", f"({shown})")] if shown else []
    output.result(aligned(rows))
    return 0
