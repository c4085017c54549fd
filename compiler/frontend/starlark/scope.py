"""What the closures of a file are made from: its text, its resolved names, and the places of its globals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.bindings import CELL, GLOBAL, LOCAL
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.function import UNBOUND, Variables
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.resolve import Resolution
from compiler.frontend.starlark.thread import Thread, failure

# An expression or a target as Python code that runs on the variables of a function.
Expression = Callable[[Variables], object]
Target = Callable[[Variables, object], None]
# A statement as code: it gives None if the next one follows, BREAK, CONTINUE, or a tuple of the value to return.
Statement = Callable[[Variables], tuple[object, ...] | None]

_NODES_A_STEP = 10

BREAK: tuple[object, ...] = ("break", None)
CONTINUE: tuple[object, ...] = ("continue", None)


def thread_of(variables: Variables) -> Thread:
    """Return the thread that runs a function."""
    thread = variables[0]
    assert type(thread) is Thread, "the first place of a function's variables"
    return thread


class LoadedModule(Protocol):
    """What `load` takes names from."""

    @property
    def globals(self) -> Mapping[str, object]: ...


class Makers(NamedTuple):
    """What makes code of the nodes of each rule."""

    expressions: Mapping[str, Callable[[Scope, Node], Expression]]
    statements: Mapping[str, Callable[[Scope, Node], Statement]]
    targets: Mapping[str, Callable[[Scope, Node], Target]]


class Scope:
    """One file being turned into closures.

    `globals` are the values of its names, in the order of the resolution; they fill up while it runs.  `makers` turn
    the nodes of each rule into code, which is why the files that hold them need not know each other.  `nodes`
    counts what was made, so that whatever repeats a piece of code knows what one round of it costs.
    """

    __slots__ = ("globals", "load", "makers", "nodes", "resolution", "source", "universe")

    def __init__(
        self,
        source: SourceFile,
        resolution: Resolution,
        universe: Mapping[str, object],
        *,
        load: Callable[[str, Span], LoadedModule] | None,
        makers: Makers,
    ) -> None:
        self.source = source
        self.resolution = resolution
        self.universe = universe
        self.load = load
        self.makers = makers
        self.nodes = 0
        self.globals: list[object] = [UNBOUND] * len(resolution.globals_)

    def expression(self, node: Node) -> Expression:
        """Return an expression as code."""
        self.nodes += 1
        return self.makers.expressions[node[0]](self, node)

    def statement(self, node: Node) -> Statement:
        """Return a statement as code."""
        self.nodes += 1
        return self.makers.statements[node[0]](self, node)

    def target(self, node: Node) -> Target:
        """Return code that assigns to a name, a place in a value, or several of them."""
        return self.makers.targets[node[0]](self, node)

    def steps_since(self, nodes: int) -> int:
        """Return the steps that one run of the code made since then costs at most."""
        return 1 + (self.nodes - nodes) // _NODES_A_STEP

    def span(self, node: Node) -> Span:
        """Return the place of a node."""
        return Span._make((self.source, node[1], node[2]))

    def failure(self, variables: Variables, error: StarlarkError, node: Node) -> SpecError:
        """Return an error of running code with its place, a node of this file."""
        return failure(thread_of(variables), error, self.span(node))

    def unassigned(self, variables: Variables, name: Node, kind: str) -> SpecError:
        """Return the error of a variable that is read before it has a value."""
        error = StarlarkError(f"{kind} variable {name[3]} referenced before assignment")
        return self.failure(variables, error, name)

    def reader(self, name: Node) -> Expression:
        """Return code that reads a variable.  Where it has no value yet, that fails."""
        text = name[3]
        kind, slot = self.resolution.names[name[1]]
        if kind == LOCAL:

            def read_local(variables: Variables) -> object:
                value = variables[slot]
                if value is UNBOUND:
                    raise self.unassigned(variables, name, "local")
                return value

            return read_local
        if kind == CELL:

            def read_cell(variables: Variables) -> object:
                cell = variables[slot]
                if cell[0] is UNBOUND:
                    raise self.unassigned(variables, name, "local")
                return cell[0]

            return read_cell
        if kind == GLOBAL:
            values = self.globals

            def read_global(variables: Variables) -> object:
                value = values[slot]
                if value is UNBOUND:
                    raise self.unassigned(variables, name, "global")
                return value

            return read_global
        value = self.universe[text]
        return lambda _: value

    def writer(self, name: Node) -> Target:
        """Return code that assigns a variable."""
        kind, slot = self.resolution.names[name[1]]
        if kind == LOCAL:

            def write_local(variables: Variables, value: object) -> None:
                variables[slot] = value

            return write_local
        if kind == CELL:

            def write_cell(variables: Variables, value: object) -> None:
                variables[slot][0] = value

            return write_cell
        assert kind == GLOBAL, "what is assigned is a variable of the file"
        values = self.globals

        def write_global(_: Variables, value: object) -> None:
            values[slot] = value

        return write_global
