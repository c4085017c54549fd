"""Questions about a document that the editor has closed, or never opened: they have no answer, and break nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp

from rlc.catalogue import scan
from rlc.editor.server import make_server

NOTHING: dict[str, object] = {
    lsp.TEXT_DOCUMENT_HOVER: None,
    lsp.TEXT_DOCUMENT_DEFINITION: [],
    lsp.TEXT_DOCUMENT_COMPLETION: [],
    lsp.TEXT_DOCUMENT_CODE_ACTION: [],
}


@pytest.mark.parametrize("question", sorted(NOTHING))
def test_a_question_about_a_closed_document_has_no_answer(question: str, tmp_path: Path) -> None:
    server = make_server(scan(), version="0")
    document = lsp.TextDocumentIdentifier((tmp_path / "spec.toml").as_uri())
    start = lsp.Position(0, 0)
    params = {
        lsp.TEXT_DOCUMENT_HOVER: lsp.HoverParams(document, start),
        lsp.TEXT_DOCUMENT_DEFINITION: lsp.DefinitionParams(document, start),
        lsp.TEXT_DOCUMENT_COMPLETION: lsp.CompletionParams(document, start),
        lsp.TEXT_DOCUMENT_CODE_ACTION: lsp.CodeActionParams(
            document, lsp.Range(start, start), lsp.CodeActionContext([])
        ),
    }
    assert server.protocol.fm.features[question](params[question]) == NOTHING[question]
