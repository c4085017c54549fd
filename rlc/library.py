"""What labels may name here: the standard library, and the further roots of the `rlc.toml` of the working directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.roots import MARKER, Place, Root, Shelf, further_shelves, standard_shelf
from compiler.frontend.session import Session
from compiler.ir.catalogue import Catalogue


def roots_here(catalogue: Catalogue) -> tuple[Root, ...]:
    """Return the further roots of the working directory.  Raises: SpecError for an `rlc.toml` that is wrong."""
    reporter = Reporter()
    place = Session(catalogue.stdlib, catalogue.cache).place(Path(MARKER), reporter)
    reporter.raise_errors()
    return () if place is None else place.roots


def labels_of(kind: str, catalogue: Catalogue, roots: tuple[Root, ...]) -> tuple[str, ...]:
    """Return the labels of one kind, those of the standard library first."""
    return tuple(f"{shelf.label}:{name}" for shelf in _shelves(kind, catalogue, roots) for name in shelf.names())


def label_called(name: str, kind: str, catalogue: Catalogue, roots: tuple[Root, ...]) -> str:
    """Return the label that a person means by it, or by the name in it.  Raises: SpecError RLC0031 if there is none."""
    known = labels_of(kind, catalogue, roots)
    found = [label for label in known if name in (label, label.rpartition(":")[2])]
    if found:
        return found[0]
    bare = name.rpartition(":")[2]
    names = [label.removeprefix(f"//{kind}:") for label in known]
    begun = [other for other in names if bare and other.startswith(bare)] if kind == "models" else []
    raise no_such_name(kind.removesuffix("s"), name, begun or names)


def place_here(catalogue: Catalogue, roots: tuple[Root, ...]) -> Place:
    """Return a place from which the labels of the working directory lead somewhere."""
    return Place(Path(MARKER), MARKER, catalogue.stdlib, roots)


def span_of(label: str) -> Span:
    """Return a span for a label that stands on the command line."""
    return Span(SourceFile("", label), 0, len(label))


def no_such_name(kind: str, name: str, known: Sequence[str]) -> SpecError:
    """Return RLC0031 for a name that is not among those there are."""
    near = nearest_names(name, known)
    way = Help(f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}")
    return SpecError(Diagnostic("RLC0031", f"there is no {kind} {name}", help=(way,)))


def _shelves(kind: str, catalogue: Catalogue, roots: tuple[Root, ...]) -> list[Shelf]:
    return [standard_shelf(kind, catalogue.stdlib), *further_shelves(kind, roots)]
