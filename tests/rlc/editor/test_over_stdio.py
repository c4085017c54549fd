"""A whole session with the language server as an editor has it: a process, spoken to over its pipes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from tests.compiler.emit.plan_specs import ONE_STAGE

SECONDS = 60


async def session(folder: Path, text: str) -> tuple[list[lsp.Diagnostic], lsp.Hover | None, int | None]:
    """Open a text that is not saved; return what is said of it, of its first setting, and how the server ended."""
    client = LanguageClient("test", "1")
    published: asyncio.Future[list[lsp.Diagnostic]] = asyncio.get_running_loop().create_future()

    @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def _(params: lsp.PublishDiagnosticsParams) -> None:
        if not published.done():
            published.set_result(list(params.diagnostics))

    await client.start_io(sys.executable, "-m", "rlc", "lsp")
    process = client._server
    uri = (folder / "spec.toml").as_uri()
    await client.initialize_async(lsp.InitializeParams(lsp.ClientCapabilities(), root_uri=folder.as_uri()))
    client.initialized(lsp.InitializedParams())
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(uri, "toml", 1, text)))
    found = await published
    line = text[: text.index("samples_per_prompt")].count("\n")
    at = lsp.HoverParams(lsp.TextDocumentIdentifier(uri), lsp.Position(line, 2))
    hover = await client.text_document_hover_async(at)
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return found, hover, None if process is None else process.returncode


def test_a_server_says_what_is_wrong_and_what_a_setting_is_and_ends_well(tmp_path: Path) -> None:
    wrong = ONE_STAGE.replace("max_steps", "max_stpes")
    found, hover, code = asyncio.run(asyncio.wait_for(session(tmp_path, wrong), SECONDS))
    assert "RLC0201" in [one.code for one in found]
    assert hover is not None
    assert "samples_per_prompt" in str(hover.contents)
    assert code == 0
