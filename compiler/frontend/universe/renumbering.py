"""A tree in the numbers of another list of texts."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.span import SourceFile
from compiler.frontend.trees import LEAF, LIST, Tree, TreeCall


def renumbered(tree: Tree, before: Sequence[SourceFile], after: Sequence[SourceFile]) -> Tree:
    """Return a tree whose texts are looked up in another list, which holds all that it lies in."""
    places = {source: number for number, source in enumerate(after)}
    return _Numbers([places.get(source, 0) for source in before]).tree(tree)


class _Numbers:
    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def tree(self, tree: Tree) -> Tree:
        kind, start, end, payload, file, calls = tree
        if kind == LIST:
            payload = tuple([self.tree(item) for item in payload])
        elif kind != LEAF:
            payload = tuple([(key, first, last, self.tree(inner)) for key, first, last, inner in payload])
        return kind, start, end, payload, self.numbers[file], tuple([self.call(call) for call in calls])

    def call(self, call: TreeCall) -> TreeCall:
        name, file, start, end = call
        return name, self.numbers[file], start, end
