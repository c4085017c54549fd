"""`rlc lsp`: the language server, spoken to over standard input and output."""

from __future__ import annotations

import typer


def lsp(context: typer.Context) -> int:
    """Serve an editor (Language Server Protocol).  Faults as one types, hover, completion, go to origin, fixes."""
    del context
    from importlib.metadata import version
    from importlib.util import find_spec

    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from rlc.catalogue import scan

    if find_spec("pygls") is None:
        way = Help("install rlc with this extra, in its checkout: pip install '.[editor]'")
        raise SpecError(Diagnostic("RLC0661", "the language server needs pygls, which is not installed", help=(way,)))
    from rlc.editor.server import make_server

    make_server(scan(), version=version("rlc")).start_io()
    return 0
