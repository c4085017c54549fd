"""What may be written where the cursor stands: keys and tables of the schema, and the values that a key takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.roots import Root
from compiler.ir.catalogue import Catalogue
from compiler.ir.spec_tables import Key, SpecTable, bounds_in_words, join, spec_tables
from rlc.editor.context import Context
from rlc.library import labels_of

_STAGES = "stages"


class Proposal(NamedTuple):
    """One thing to write: its text, what it is, and one line about it."""

    text: str
    kind: Literal["key", "table", "value"]
    detail: str = ""
    doc: str = ""


class Vocabulary:
    """All that a spec can say, for one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.root = spec_tables(catalogue, of_stage=False)
        self.stage = spec_tables(catalogue, of_stage=True)

    def proposals(self, context: Context, *, is_starlark: bool, roots: tuple[Root, ...] = ()) -> tuple[Proposal, ...]:
        """Return what may stand there, as it is written in that syntax.

        Args:
            roots: the further roots that labels may lead to.
        """
        if context.what == "table":
            return tuple(self._tables())
        if context.what == "key":
            return tuple(self._keys(context, is_starlark=is_starlark))
        return tuple(_written(p, context.typed) for p in self._values(context, roots, is_starlark=is_starlark))

    def key(self, table: str, name: str) -> Key | None:
        """Return what the schema knows about a key."""
        found = self.table(table)
        return None if found is None else next((key for key in found.keys if key.name == name), None)

    def table(self, path: str) -> SpecTable | None:
        """Return a table by the path of its header; those below `stages` are a stage's own."""
        if path == _STAGES or path.startswith(f"{_STAGES}."):
            return self.stage.get(path.removeprefix(_STAGES).lstrip("."))
        return self.root.get(path)

    def _tables(self) -> Iterator[Proposal]:
        for path, table in self.root.items():
            if path:
                yield Proposal(path, "table", "list of tables" if table.is_list else "table", table.doc)
        yield Proposal(_STAGES, "table", "list of tables", "One training of several in a row.")
        for path, table in self.stage.items():
            if path:
                yield Proposal(f"{_STAGES}.{path}", "table", "of a stage", table.doc)

    def _keys(self, context: Context, *, is_starlark: bool) -> Iterator[Proposal]:
        table = self.table(context.table)
        for key in table.keys if table is not None else ():
            if key.name in context.present:
                continue
            is_table = self.table(join(context.table, key.name)) is not None
            detail = ", ".join(p for p in (key.field.unit, bounds_in_words(key.field)) if p)
            text = f"{key.name} = " if is_starlark or not is_table else f"{key.name}."
            yield Proposal(text, "table" if is_table else "key", detail, key.field.doc)

    def _values(self, context: Context, roots: tuple[Root, ...], *, is_starlark: bool) -> Iterator[Proposal]:
        path = join(context.table.removeprefix(f"{_STAGES}.").removeprefix(_STAGES), context.key)
        for name in self._names(path, roots):
            yield Proposal(f'"{name}"', "value")
        key = self.key(context.table, context.key)
        if key is None:
            return
        kind = key.field.kind
        for atom in kind.atoms:
            for choice in atom.choices:
                yield Proposal(f'"{choice}"' if isinstance(choice, str) else str(choice), "value")
            if atom.name == "bool":
                yield from (Proposal(v.title() if is_starlark else v, "value") for v in ("true", "false"))
        if kind.may_be_off:
            yield Proposal('"off"', "value", "unset what a recipe says")
        if kind.may_be_auto:
            yield Proposal('"auto"', "value", "let it be derived")

    def _names(self, path: str, roots: tuple[Root, ...]) -> Iterable[str]:
        catalogue = self.catalogue
        if path == "use":
            return labels_of("recipes", catalogue, roots)
        if path == "model.name":
            return labels_of("models", catalogue, roots)
        if path == "cluster.gpus_per_node":
            return [f"{gpu.gpus_per_node}x{name}" for name, gpu in catalogue.load_hardware().items()]
        rewards = catalogue.rewards
        names = {"algo.name": catalogue.algorithms, "reward.name": rewards, "reward.terms.name": rewards}
        return catalogue.targets if path == "cluster.target" else names.get(path, ())


def _written(proposal: Proposal, typed: str) -> Proposal:
    """A value without the quote that stands there already."""
    return proposal._replace(text=proposal.text[1:]) if typed.startswith('"') else proposal
