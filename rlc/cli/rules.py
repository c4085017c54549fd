"""`rlc rules`: every rule, and every other thing that rlc may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.diagnostics.page import Page


def rules(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print the list as JSON."),
) -> int:
    """List all codes that a spec may raise.  Rules have ids in the catalogue; `rlc explain CODE` says more."""
    from compiler.explain import all_pages
    from compiler.ir.canonical import dump
    from rlc.cli.table import aligned

    output: Output = context.obj
    pages = all_pages()
    if as_json:
        output.result(
            dump(
                [
                    {"code": p.code, "id": p.id, "rule": p.rule, "severity": _severity(p), "title": p.title}
                    for p in pages
                ]
            )
        )
    else:
        output.result(aligned([(p.code, p.id, _severity(p), p.title) for p in pages]))
    return 0


def _severity(page: Page) -> str:
    """What its page says; that of a rule which raises either speaks of both."""
    if "## What\n\nA warning" in page.text:
        return "warning"
    return "either" if page.rule and " warning" in page.text.partition("## Source")[0].replace("\n", " ") else "error"
