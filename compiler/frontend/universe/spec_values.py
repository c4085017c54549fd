"""Experiments, fragments and models as values of Starlark.

They are finished when they are made, and have no attributes: what a spec says is read by the compiler, not by the spec.
"""

from __future__ import annotations

from compiler.diagnostics.span import Span
from compiler.frontend.starlark.origins import Frame
from compiler.frontend.trees import FACTS, LEAF, LIST, TABLE, Tree, TreeCall, TreeEntry


class Fragment:
    """A partial experiment.

    Requirements join its entries when all code has run.
    """

    __slots__ = ("_size", "entries", "frame", "span", "tree")

    starlark_type = "fragment"

    def __init__(self, tree: Tree, entries: list[TreeEntry], span: Span, frame: Frame | None) -> None:
        self.tree = tree
        self.entries = entries
        self._size = 0
        self.span = span
        self.frame = frame

    @property
    def size(self) -> int:
        """How many nodes it comes to when it is used, with all that it uses itself."""
        if not self._size:
            self._size = sum(_size(entry[3]) for entry in self.entries)
        return self._size


class Experiment(Fragment):
    """A whole experiment, which is called by its name."""

    __slots__ = ("name", "name_span")

    starlark_type = "experiment"

    def __init__(
        self, tree: Tree, entries: list[TreeEntry], span: Span, frame: Frame | None, *, name: str, name_span: Span
    ) -> None:
        super().__init__(tree, entries, span, frame)
        self.name = name
        self.name_span = name_span


class Model:
    """A model: facts that its checkpoint holds to, and what an experiment changes about it."""

    __slots__ = ("at", "calls", "changes", "entry", "facts")

    starlark_type = "model"

    def __init__(
        self,
        entry: TreeEntry | None,
        facts: Tree | None,
        changes: Tree | None,
        *,
        at: tuple[int, int, int],
        calls: tuple[TreeCall, ...],
    ) -> None:
        self.entry = entry
        self.facts = facts
        self.changes = changes
        self.at = at
        self.calls = calls

    def table(self, at: tuple[int, int, int]) -> Tree:
        """Return the table of an experiment that uses the model: its name, and the changes."""
        file, start, end = at
        changes = () if self.changes is None else self.changes[3]
        named = () if self.entry is None else (self.entry,)
        return TABLE, start, end, (*named, *changes), file, self.calls

    def fragment(self) -> Tree:
        """Return the facts, as a fragment that knows of which model they are."""
        return self._facts(self.facts)

    def alone(self) -> Tree:
        """Return the facts with the changes in their places, for a spec that only names the model."""
        if self.changes is None or self.facts is None:
            return self._facts(self.facts or self.changes)
        changed = {entry[0]: entry for entry in (*self.facts[3], *self.changes[3])}
        kind, start, end, _, file, calls = self.facts
        return self._facts((kind, start, end, tuple(changed.values()), file, calls))

    def _facts(self, facts: Tree | None) -> Tree:
        file, start, end = self.at
        model = facts if facts is not None else (TABLE, start, end, (), file, self.calls)
        entries = (("model", model[1], model[2], model),)
        named = () if self.entry is None else (self.entry,)
        return FACTS, start, end, (*named, *entries), file, self.calls


def _size(tree: Tree) -> int:
    """How many nodes a tree has.  Trees of fragments in it are counted whole, each time that they are used."""
    if tree[0] == LEAF:
        return 1
    inner = tree[3] if tree[0] == LIST else [entry[3] for entry in tree[3]]
    return 1 + sum(_size(item) for item in inner)
