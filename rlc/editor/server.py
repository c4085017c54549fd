"""The language server: diagnostics as one types, hover, completion, go to origin, and fixes, over pygls.

Every handler asks `analysis.py`, `context.py` or `completion.py` and translates the answer; no knowledge of specs is
kept here.  The server reads the files that a spec names, writes nothing, and executes nothing.
"""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import Span
from compiler.ir.catalogue import Catalogue
from rlc.cli.explain_text import fields_text
from rlc.editor.analysis import Analysis
from rlc.editor.compiling import analysed, edits_of, path_of_source
from rlc.editor.completion import Proposal, Vocabulary
from rlc.editor.context import starlark_context, toml_context
from rlc.editor.positions import Position, Units, offset_of, range_of

SOURCE = "rlc"
_SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
}
_KINDS = {
    "key": lsp.CompletionItemKind.Field,
    "table": lsp.CompletionItemKind.Struct,
    "value": lsp.CompletionItemKind.Value,
}


class SpecServer(LanguageServer):
    """One editor's session: the specs that are open, each as last analysed."""

    def __init__(self, catalogue: Catalogue, version: str) -> None:
        super().__init__("rlc", version)
        self.catalogue = catalogue
        self.vocabulary = Vocabulary(catalogue)
        self.analyses: dict[str, Analysis] = {}

    @property
    def units(self) -> Units:
        """The units that columns are counted in."""
        chosen = self.server_capabilities.position_encoding
        return "utf-32" if chosen == "utf-32" else "utf-8" if chosen == "utf-8" else "utf-16"

    def refresh(self, uri: str) -> None:
        """Analyse an open document again and publish what is wrong with it."""
        analysis = self.analyses[uri] = analysed(_path(uri), self.open_texts(), self.catalogue)
        found = [self.diagnostic(analysis, d) for d in analysis.diagnostics]
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri=uri, diagnostics=found))

    def open_texts(self) -> dict[Path, str]:
        """The documents as the editor has them, saved or not."""
        return {_path(uri): document.source for uri, document in self.workspace.text_documents.items()}

    def diagnostic(self, analysis: Analysis, found: Diagnostic) -> lsp.Diagnostic:
        """Return a diagnostic at its primary label; one that is about another file stands at the first line."""
        here = [label for label in found.labels if analysis.is_here(label.span.file)]
        primary = next((label for label in here if label.is_primary), here[0] if here else None)
        related = [self.related(analysis, label) for label in found.labels if label is not primary]
        lines = [found.message, *(f"{way.text}" for way in found.help)]
        if primary is not None and primary.text:
            lines.insert(1, primary.text)
        return lsp.Diagnostic(
            range=_range(primary.span, self.units) if primary is not None else _TOP,
            message="\n".join(lines),
            severity=_SEVERITIES[found.severity],
            code=found.code,
            source=SOURCE,
            related_information=[r for r in related if r is not None],
        )

    def related(self, analysis: Analysis, label: Label) -> lsp.DiagnosticRelatedInformation | None:
        """Return a further label, where its text is a file."""
        path = path_of_source(label.span.file, analysis)
        if path is None:
            return None
        return lsp.DiagnosticRelatedInformation(location=_location(path, label.span, self.units), message=label.text)

    def offset(self, analysis: Analysis, position: lsp.Position) -> int:
        """Return the offset that a place has in the text that spans count in."""
        return offset_of(analysis.source, Position(position.line, position.character), self.units)


def make_server(catalogue: Catalogue, *, version: str) -> SpecServer:
    """Return a server that is ready to be started."""
    server = SpecServer(catalogue, version)
    server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)(_did_open)
    server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(_did_change)
    server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(_did_save)
    server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)(_did_close)
    server.feature(lsp.TEXT_DOCUMENT_HOVER)(_hover)
    server.feature(lsp.TEXT_DOCUMENT_DEFINITION)(_definition)
    triggers = lsp.CompletionOptions(trigger_characters=["[", ".", '"', "=", "("])
    server.feature(lsp.TEXT_DOCUMENT_COMPLETION, triggers)(_completion)
    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)(_code_actions)
    return server


def _did_open(server: SpecServer, params: lsp.DidOpenTextDocumentParams) -> None:
    server.refresh(params.text_document.uri)


def _did_change(server: SpecServer, params: lsp.DidChangeTextDocumentParams) -> None:
    server.refresh(params.text_document.uri)


def _did_save(server: SpecServer, params: lsp.DidSaveTextDocumentParams) -> None:
    """A saved file may be one that other open specs use."""
    del params
    for uri in list(server.analyses):
        server.refresh(uri)


def _did_close(server: SpecServer, params: lsp.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    server.analyses.pop(uri, None)
    server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri=uri, diagnostics=[]))


# An editor may ask about a document that it has closed: there is nothing to say then.
def _hover(server: SpecServer, params: lsp.HoverParams) -> lsp.Hover | None:
    analysis = server.analyses.get(params.text_document.uri)
    found = None if analysis is None else analysis.field_at(server.offset(analysis, params.position))
    if found is None:
        return None
    text = fields_text(found.explainer, found.paths, ascii_only=False)
    content = lsp.MarkupContent(kind=lsp.MarkupKind.Markdown, value=f"```text\n{text}\n```")
    return lsp.Hover(contents=content, range=_range(found.span, server.units))


def _definition(server: SpecServer, params: lsp.DefinitionParams) -> list[lsp.Location]:
    analysis = server.analyses.get(params.text_document.uri)
    found = None if analysis is None else analysis.field_at(server.offset(analysis, params.position))
    if analysis is None or found is None:
        return []
    places = ((path_of_source(span.file, analysis), span) for span in analysis.origins_of(found))
    return [_location(path, span, server.units) for path, span in places if path is not None]


def _completion(server: SpecServer, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
    uri = params.text_document.uri
    analysis = server.analyses.get(uri)
    if analysis is None:
        return []
    text, at = analysis.source.text, server.offset(analysis, params.position)
    is_starlark = uri.endswith(".star")
    context = starlark_context(text[:at]) if is_starlark else toml_context(text[:at], text[at:])
    if context is None:
        return []
    return [_item(p) for p in server.vocabulary.proposals(context, is_starlark=is_starlark)]


def _code_actions(server: SpecServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    uri = params.text_document.uri
    analysis = server.analyses.get(uri)
    actions: list[lsp.CodeAction] = []
    if analysis is None:
        return actions
    for found in analysis.diagnostics:
        shown = server.diagnostic(analysis, found)
        if not _touch(shown.range, params.range):
            continue
        actions += [a for way in found.help if (a := _action(server, uri, way, found, shown)) is not None]
    return actions


def _action(server: SpecServer, uri: str, way: Help, found: Diagnostic, shown: lsp.Diagnostic) -> lsp.CodeAction | None:
    edits = edits_of(way, found, server.analyses[uri])
    if not edits:
        return None
    changes = [lsp.TextEdit(range=_range(span, server.units), new_text=text) for span, text in edits]
    return lsp.CodeAction(
        title=way.text.removeprefix("or "),
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=[shown],
        edit=lsp.WorkspaceEdit(changes={uri: changes}),
    )


def _item(proposal: Proposal) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=proposal.text.strip().rstrip("=").strip(),
        kind=_KINDS[proposal.kind],
        detail=proposal.detail or None,
        documentation=proposal.doc or None,
        insert_text=proposal.text,
    )


def _touch(a: lsp.Range, b: lsp.Range) -> bool:
    return a.start <= b.end and b.start <= a.end


def _range(span: Span, units: Units) -> lsp.Range:
    start, end = (lsp.Position(line=p.line, character=p.character) for p in range_of(span, units))
    return lsp.Range(start=start, end=end)


def _location(path: Path, span: Span, units: Units) -> lsp.Location:
    uri = from_fs_path(str(path))
    return lsp.Location(uri=uri or "", range=_range(span, units))


def _path(uri: str) -> Path:
    return Path(to_fs_path(uri) or "")


_TOP = lsp.Range(start=lsp.Position(line=0, character=0), end=lsp.Position(line=0, character=0))
