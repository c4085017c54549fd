"""One open spec as the editor needs it: its faults, and what stands at a place.

A spec is compiled whole after each change, as `rlc check` would; nothing is remembered from one version to the next.
A file of Starlark may hold several experiments: a place is answered by the first one that knows it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from compiler.compile import Compiled
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.explain import Explainer
from compiler.frontend.roots import Root
from compiler.ir.catalogue import Catalogue
from compiler.ir.provenance import Origin

_QUOTED = re.compile(r"""["']([^"'\n]+)["']""")
_LABEL = re.compile(r"//(recipes|models):(\w+)(?:\.star)?")


class FieldAt(NamedTuple):
    """The fields that a piece of text decides, in one experiment; `span` is the piece."""

    explainer: Explainer
    paths: tuple[str, ...]
    span: Span


class Analysis:
    """What compiling an open file has shown.

    Args:
        source: its text, as spans count in it.
        found: its experiments.
        places: the files of all texts that were read.
        roots: the further roots that its labels may lead to.
    """

    def __init__(
        self,
        source: SourceFile,
        found: Sequence[Compiled],
        places: Mapping[SourceFile, Path],
        catalogue: Catalogue,
        *,
        roots: tuple[Root, ...] = (),
    ) -> None:
        self.source = source
        self.found = tuple(found)
        self.places = places
        self.catalogue = catalogue
        self.roots = roots

    @cached_property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that there is to say, each thing once."""
        return tuple(dict.fromkeys(d for compiled in self.found for d in compiled.diagnostics))

    @cached_property
    def explainers(self) -> tuple[Explainer, ...]:
        """The experiments that could be read."""
        return tuple(Explainer(c.subject, broken=c.broken) for c in self.found if c.subject is not None)

    def field_at(self, offset: int) -> FieldAt | None:
        """Return what the text at an offset decides: the smallest key or value around it that belongs to fields."""
        best: FieldAt | None = None
        for explainer in self.explainers:
            for path, origin in explainer.subject.origins.items():
                span = self._around(origin, offset)
                if span is None or path not in explainer.paths:
                    continue
                if best is None or _size(span) < _size(best.span):
                    best = FieldAt(explainer, (path,), span)
                elif explainer is best.explainer and span == best.span:
                    best = best._replace(paths=(*best.paths, path))
        return best

    def origins_of(self, at: FieldAt) -> tuple[Span, ...]:
        """Return where the value of a field leads: what it won over, and what it was derived from, others first."""
        found: dict[Span, None] = {}
        for path in at.paths:
            origin = at.explainer.subject.origins.get(path)
            if origin is not None:
                found.update(dict.fromkeys(_places(origin)))
                for source in origin.inputs:
                    used = at.explainer.subject.origins.get(source)
                    if used is not None and used.span is not None:
                        found[used.span] = None
        return tuple(span for span in found if span != at.span)

    def file_named_at(self, offset: int) -> Span | None:
        """Return the beginning of the file that the text at an offset names, if compiling has read it."""
        text = self.source.text
        found = next((m for m in _QUOTED.finditer(text) if m.start() <= offset <= m.end()), None)
        if found is None:
            return None
        label = _LABEL.fullmatch(found[1])
        beside = posixpath.join(posixpath.dirname(self.source.name), found[1])
        stem = posixpath.normpath(beside) if label is None else f"//{label[1]}/{label[2]}"
        read = [file for file in self.places if file.name in (stem, f"{stem}.toml", f"{stem}.star")]
        if not read and label is not None and label[1] == "models":  # a function of a family's file
            read = [file for file in self.places if f"\ndef {label[2]}(" in file.text]
        return Span(read[0], 0, 0) if read else None

    def _around(self, origin: Origin, offset: int) -> Span | None:
        spans = [s for s in (origin.key, origin.span) if s is not None and self.is_here(s.file)]
        return min((s for s in spans if s.start <= offset <= s.end), key=_size, default=None)

    def is_here(self, source: SourceFile) -> bool:
        """Whether a text is the open file."""
        return source.name == self.source.name and source.text == self.source.text

    def place_of(self, name: str) -> Span | None:
        """Return where a field, named as a person writes it, has its value in the open file."""
        for explainer in self.explainers:
            for path in explainer.fields_called(name):
                origin = explainer.subject.origins.get(path)
                if origin is not None and origin.span is not None and self.is_here(origin.span.file):
                    return origin.span
        return None


def _places(origin: Origin) -> Iterator[Span]:
    for lost in origin.shadowed:
        if lost.span is not None:
            yield lost.span
        yield from _places(lost)


def _size(span: Span) -> int:
    return span.end - span.start
