"""Variables, and what binds them: the functions and blocks that a resolver goes through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.starlark.nodes import Node

LOCAL, CELL, GLOBAL, UNIVERSAL = range(4)


class Layout(NamedTuple):
    """What a function needs when it is called.

    `slots` is how many places it has: the first holds the thread, then come the parameters in their order.  `cells` are
    the slots of its own that others capture; `captured` are pairs of a slot in the function around it and the slot here
    that shares its cell.
    """

    slots: int
    cells: tuple[int, ...]
    captured: tuple[tuple[int, int], ...]


class Variable:
    """A variable: its slot, where it is first bound, and whether functions inside capture it."""

    __slots__ = ("at", "is_cell", "is_global", "slot")

    def __init__(self, at: int, slot: int, *, is_global: bool = False, is_cell: bool = False) -> None:
        self.at = at
        self.slot = slot
        self.is_global = is_global
        self.is_cell = is_cell


class Function:
    """A function being resolved, or the top of the file."""

    __slots__ = ("captures", "loops", "own", "pairs", "parent", "size")

    def __init__(self, parent: Function | None) -> None:
        self.parent = parent
        self.size = 1
        self.loops = 0
        self.own: list[Variable] = []
        self.pairs: list[tuple[Variable, int]] = []
        self.captures: dict[Variable, Variable] = {}

    def declare(self, at: int) -> Variable:
        """Return a new variable of this function."""
        variable = Variable(at, self.size)
        self.size += 1
        self.own.append(variable)
        return variable

    def capture(self, variable: Variable, owner: Function) -> Variable:
        """Return the variable of another function around this one, as it is known here."""
        known = self.captures.get(variable)
        if known is None:
            assert self.parent is not None, "the owner of a variable is around those that use it"
            outer = variable if self.parent is owner else self.parent.capture(variable, owner)
            outer.is_cell = True
            known = Variable(variable.at, self.size, is_cell=True)
            self.size += 1
            self.pairs.append((outer, known.slot))
            self.captures[variable] = known
        return known

    def layout(self) -> Layout:
        """Return what a call of this function needs."""
        cells = tuple(v.slot for v in self.own if v.is_cell)
        return Layout(self.size, cells, tuple((outer.slot, slot) for outer, slot in self.pairs))


class Block(NamedTuple):
    """Names that are visible in one piece of text."""

    function: Function
    names: dict[str, Variable]
    around: Block | None


def place(variable: Variable | None) -> tuple[int, int]:
    """Return the kind of place of a variable and its number; None is a name that is defined everywhere."""
    if variable is None:
        return UNIVERSAL, 0
    if variable.is_global:
        return GLOBAL, variable.slot
    return CELL if variable.is_cell else LOCAL, variable.slot


def bound(statements: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """Yield each statement that binds a name in the block that it stands in, with that name."""
    for statement in statements:
        rule = statement[0]
        if rule in ("assign", "for"):
            yield from ((statement, name) for name in names_in(statement[3]))
        elif rule == "augment":
            yield from ((statement, name) for name in names_in(statement[4]))
        elif rule == "def":
            yield statement, statement[3]
        elif rule == "load":
            yield from ((statement, bind[3]) for bind in statement[4:])
        if rule in ("for", "if"):
            for part in statement[3:]:
                if part is not None and part[0] == "suite":
                    yield from bound(part[3:])


def names_in(target: Node) -> Iterator[Node]:
    """Yield the names that a target binds."""
    if target[0] == "name":
        yield target
    elif target[0] in ("tuple", "list"):
        for part in target[3:]:
            yield from names_in(part)
