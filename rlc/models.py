"""The models that a spec can name, each with its facts, read without an experiment around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import holds_one_model
from compiler.frontend.roots import Place, Root, find_model
from compiler.frontend.session import Session
from compiler.frontend.value import RECIPE, Facts, Table
from compiler.ir.model import Model
from compiler.ir.provenance import Provenance
from compiler.lowering.reader import Reader
from compiler.planner.parameters import parameters_of
from rlc.library import label_called, labels_of, span_of

if TYPE_CHECKING:
    from pathlib import Path

    from compiler.frontend.value import Leaf
    from compiler.ir.catalogue import Catalogue


class LibraryModel(NamedTuple):
    """A model: how a spec names it, the file that its family lies in, its facts, and its parameters, counted from them.

    `path` is the real path of the file, `file` the name that messages use.
    """

    label: str
    path: Path
    file: str
    facts: Model[object]
    parameters: int
    active_parameters: int

    @property
    def name(self) -> str:
        """Its name in a list: of the standard library without the folder."""
        return self.label.removeprefix("//models:")


def read_models(catalogue: Catalogue, roots: tuple[Root, ...] = ()) -> tuple[LibraryModel, ...]:
    """Return all models by label; each file of a family is run once.  Raises: SpecError for a broken one."""
    session = Session(catalogue.stdlib, catalogue.cache)
    return tuple(_read(label, session, roots) for label in labels_of("models", catalogue, roots))


def read_model(name: str, catalogue: Catalogue, roots: tuple[Root, ...] = ()) -> LibraryModel:
    """Return a model by its name or its label.  Raises: SpecError RLC0031 if there is none."""
    label = label_called(name, "models", catalogue, roots)
    return _read(label, Session(catalogue.stdlib, catalogue.cache), roots)


def _read(label: str, session: Session, roots: tuple[Root, ...]) -> LibraryModel:
    reporter = Reporter()
    found = find_model(label, span_of(label), stdlib=session.stdlib, roots=roots, reporter=reporter)
    reporter.raise_errors()
    assert found is not None, "there is a place or an error"
    place, symbol = found
    facts = read_facts(place, symbol, session)
    counted = parameters_of(facts)
    return LibraryModel(label, place.path, place.name, facts, counted.total, counted.active)


def read_facts(place: Place, symbol: str, session: Session) -> Model[object]:
    """Return the facts that a file gives of a model.  Raises: SpecError for what is no model.

    Args:
        symbol: the function of a .star file that makes it.
    """
    reporter = Reporter()
    trees = session.trees(place, named_at=None, reporter=reporter, symbol=symbol)
    reporter.raise_errors()
    assert trees is not None, "what cannot be read was reported"
    table = trees.table(RECIPE)
    named = {key: entry for key, entry in table.entries.items() if not (isinstance(table, Facts) and key == "name")}
    holds_one_model(table._replace(entries=named), place, reporter)
    reporter.raise_errors()
    model = table.get("model")
    assert isinstance(model, Table), "a file of a model holds [model]"
    facts = Reader(reporter, Provenance(), _unresolved).record(Model, model, "model", {})
    reporter.raise_errors()
    assert isinstance(facts, Model), "what was asked for"
    return facts


def _unresolved(leaf: Leaf) -> str:
    return str(leaf.value)
