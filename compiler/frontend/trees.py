"""Trees of what was written, as plain data: made once from a text, kept between runs, laid out as Nodes for each use.

A tree is `(kind, start, end, payload, file, calls)`.  `start` and `end` are offsets in a text, and `file` is its index
in the list that comes with the tree.  A leaf's payload is its value, a list's its elements, a table's
`(key, start, end, tree)` of each entry, the key in the same text as what it holds.  A call is
`(function, file, start, end)`.

Nodes are made anew for each use: a key is told apart by its Span, and two stages may use one recipe.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.annotations import Any, Final, TypeAlias
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import Entry, Facts, Fragment, Leaf, List, Node, Priority, Table
from compiler.ir.provenance import Call

LEAF: Final = 0
LIST: Final = 1
TABLE: Final = 2
FRAGMENT: Final = 3
FACTS: Final = 4

TreeCall: TypeAlias = "tuple[str, int, int, int]"
TreeEntry: TypeAlias = "tuple[str, int, int, Tree]"
# What a tree holds depends on its kind, which no type says: the list above does.
Tree: TypeAlias = "tuple[int, int, int, Any, int, tuple[TreeCall, ...]]"


class Trees(NamedTuple):
    """The tree of a root table, and the texts that it was made from: that of the file itself first."""

    files: Sequence[SourceFile]
    root: Tree

    def table(self, priority: Priority) -> Table:
        """Return the root table at a priority.  A fragment below it is one step farther away."""
        node = Layout(self.files).node(self.root, priority)
        assert isinstance(node, Table)
        return node


class Layout:
    """Makes Nodes of trees of one list of texts."""

    __slots__ = ("calls", "files")

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self.files = files
        self.calls: dict[tuple[TreeCall, ...], tuple[Call, ...]] = {(): ()}

    def node(self, tree: Tree, priority: Priority) -> Node:
        """Return the node of a tree."""
        kind, start, end, payload, file, made_by = tree
        calls = self.calls.get(made_by)
        if calls is None:
            calls = self.calls[made_by] = tuple(
                [Call(name, Span(self.files[at], first, last)) for name, at, first, last in made_by]
            )
        span = Span(self.files[file], start, end)
        if kind == LEAF:
            return Leaf(payload, span, priority, (), calls)
        if kind == LIST:
            return List(tuple([self.node(item, priority) for item in payload]), span, priority, (), calls)
        entries: dict[str, Entry] = {}
        for key, first, last, inner in payload:
            entries[key] = Entry(Span(self.files[inner[4]], first, last), self.node(inner, priority))
        made = Table if kind == TABLE else Fragment if kind == FRAGMENT else Facts
        return made(entries, span, priority, (), calls)


def restated(node: Node, priority: Priority) -> Node:
    """Return a node at another priority, with places of its own."""
    file, start, end = node.span
    span = Span(file, start, end)
    if isinstance(node, Leaf):
        return Leaf(node.value, span, priority, node.shadowed, node.calls)
    if isinstance(node, List):
        items = tuple([restated(item, priority) for item in node.items])
        return List(items, span, priority, node.shadowed, node.calls)
    return restated_table(node, priority, span)


def restated_table(table: Table, priority: Priority, span: Span | None = None) -> Table:
    """Return a table at another priority, with places of its own."""
    entries = {
        key: Entry(Span(*entry.key_span), restated(entry.node, priority)) for key, entry in table.entries.items()
    }
    return type(table)(entries, span or Span(*table.span), priority, table.shadowed, table.calls)
