"""The models of the standard library, each with its facts, read without an experiment around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.roots import find_model, library_names
from compiler.frontend.session import Session
from compiler.frontend.value import RECIPE, Table
from compiler.ir.model import Model
from compiler.ir.provenance import Provenance
from compiler.lowering.reader import Reader
from compiler.planner.parameters import parameters_of
from rlc.recipes import no_such_name

if TYPE_CHECKING:
    from pathlib import Path

    from compiler.frontend.value import Leaf
    from compiler.ir.catalogue import Catalogue


class LibraryModel(NamedTuple):
    """A model: its name, the file that its family lies in, its facts, and its parameters, counted from them."""

    name: str
    path: Path
    facts: Model[object]
    parameters: int
    active_parameters: int

    @property
    def label(self) -> str:
        """How a spec names it."""
        return f"//models:{self.name}"


def read_models(catalogue: Catalogue) -> tuple[LibraryModel, ...]:
    """Return all models by name; each file of a family is run once.  Raises: SpecError for a broken one."""
    session = Session(catalogue.stdlib, catalogue.cache)
    return tuple(_read(name, session) for name in library_names("models", catalogue.stdlib))


def read_model(name: str, catalogue: Catalogue) -> LibraryModel:
    """Return a model by its name or its label.  Raises: SpecError RLC0031 if there is none."""
    name = name.removeprefix("//models:")
    known = library_names("models", catalogue.stdlib)
    if name not in known:
        begun = [other for other in known if name and other.startswith(name)]
        raise no_such_name("model", name, begun or known)
    return _read(name, Session(catalogue.stdlib, catalogue.cache))


def _read(name: str, session: Session) -> LibraryModel:
    reporter = Reporter()
    label = f"//models:{name}"
    at = Span(SourceFile("", label), 0, len(label))
    found = find_model(label, at, stdlib=session.stdlib, reporter=reporter)
    reporter.raise_errors()
    assert found is not None, "there is a place or an error"
    place, symbol = found
    trees = session.trees(place, named_at=None, reporter=reporter, symbol=symbol)
    reporter.raise_errors()
    assert trees is not None, "what cannot be read was reported"
    table = trees.table(RECIPE).get("model")
    assert isinstance(table, Table), "a model file holds [model]"
    facts = Reader(reporter, Provenance(), _unresolved).record(Model, table, "model", {})
    reporter.raise_errors()
    assert isinstance(facts, Model), "what was asked for"
    counted = parameters_of(facts)
    return LibraryModel(name, place.path, facts, counted.total, counted.active)


def _unresolved(leaf: Leaf) -> str:
    return str(leaf.value)
