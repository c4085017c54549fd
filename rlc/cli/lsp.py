"""`rlc lsp`: the language server, spoken to over standard input and output."""

from __future__ import annotations

import typer


def lsp(context: typer.Context) -> int:
    """Serve an editor: faults as one types, hover, completion, go to origin, fixes."""
    del context
    from importlib.metadata import version

    from rlc.catalogue import scan
    from rlc.editor.server import make_server

    make_server(scan(), version=version("rlc")).start_io()
    return 0
