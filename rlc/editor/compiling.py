"""An open spec, compiled as the editor has it: texts that are not saved take the place of the files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from compiler.compile import Compiled, compile_all
from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.fixes.edits import edits_of as edits_of_text
from compiler.fixes.edits import is_applicable
from compiler.frontend.roots import MARKER, Place
from compiler.frontend.session import Session
from compiler.frontend.source_text import source_file
from compiler.ir.catalogue import Catalogue
from rlc.checking import check_part, kind_of
from rlc.editor.analysis import Analysis


def analysed(path: Path, texts: Mapping[Path, str], catalogue: Catalogue) -> Analysis:
    """Return what compiling a spec shows.

    Args:
        texts: the open documents, saved or not; the spec is one of them.
    """
    session = Session(catalogue.stdlib, catalogue.cache)
    # Markers first: where other files are depends on them.
    for file, text in sorted(texts.items(), key=lambda one: one[0].name != MARKER):
        place = _marker(file) if file.name == MARKER else session.place(file, Reporter())
        if place is not None:
            session.hold(place, source_file(place.name, text))
    place = session.place(path, Reporter())
    source = source_file(str(path) if place is None else place.name, texts.get(path, ""))
    kind = kind_of(path, session)
    if kind == "spec":
        found = [compiled for _, compiled in compile_all(path, catalogue, session=session)]
    else:
        found = [Compiled(None, None, check_part(path, kind, session, catalogue), None)]
    places = {file: held.path for file, held in session.places.items()}
    return Analysis(source, found, places, catalogue, roots=() if place is None else place.roots)


def _marker(file: Path) -> Place:
    path = Path(os.path.realpath(file))
    return Place(path, str(file), path.parent)


def edits_of(way: Help, found: Diagnostic, analysis: Analysis) -> tuple[tuple[Span, str], ...]:
    """Return what a way out writes into the open text; nothing where it cannot be applied there."""
    if not is_applicable(way):
        return ()
    source = analysis.source
    edits = edits_of_text(way, found, source, analysis.place_of, cache=analysis.catalogue.cache)
    return tuple((Span(source, edit.start, edit.end), edit.text) for edit in edits or ())


def path_of_source(source: SourceFile, analysis: Analysis) -> Path | None:
    """Return the file that a text was read from."""
    return analysis.places.get(source)
