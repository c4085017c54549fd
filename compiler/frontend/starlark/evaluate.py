"""Starlark trees, run: a file to a module, an expression to a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark import calls, comprehensions, expressions, statements
from compiler.frontend.starlark.errors import DEPTH, BudgetError
from compiler.frontend.starlark.freezing import freeze
from compiler.frontend.starlark.function import UNBOUND, Variables
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.resolve import resolve
from compiler.frontend.starlark.scope import LoadedModule, Makers, Scope
from compiler.frontend.starlark.thread import Thread, failure

_MAKERS = Makers(
    {**expressions.MAKERS, **calls.MAKERS, **comprehensions.MAKERS}, statements.STATEMENTS, statements.TARGETS
)


class Module(NamedTuple):
    """What a file has defined, frozen; names that begin with `_` and loaded names are its own."""

    globals: dict[str, object]


def run_file(
    source: SourceFile,
    tree: Node,
    *,
    universe: Mapping[str, object],
    load: Callable[[str, Span], LoadedModule] | None,
    thread: Thread,
    cache: Path | None = None,
) -> Module:
    """Run the tree of a file.

    Args:
        universe: the names that are defined everywhere.
        load: gives the module of a label, which stands at the span; None where nothing may be loaded.
        cache: the folder where the resolved names are kept.

    Raises: SpecError, with all static errors, or with the one at which the program stopped.
    """
    resolution = resolve(source, tree, universe, cache)
    scope = Scope(source, resolution, universe, load=load, makers=_MAKERS)
    _guarded(thread, scope, tree, statements.block(scope, tree[3:]))
    for value in scope.globals:
        freeze(value)
    exported = [name for name in resolution.globals_ if not name.startswith("_") and name not in resolution.loaded]
    known = dict(zip(resolution.globals_, scope.globals, strict=True))
    return Module({name: known[name] for name in exported if known[name] is not UNBOUND})


def evaluate_expression(tree: Node, source: SourceFile, names: Mapping[str, object], thread: Thread) -> object:
    """Return the value of an expression in which `names` are defined.  Raises: SpecError."""
    scope = Scope(source, resolve(source, tree, names, None), names, load=None, makers=_MAKERS)
    return _guarded(thread, scope, tree, scope.expression(tree))


def _variables(thread: Thread, scope: Scope) -> Variables:
    layout = scope.resolution.main
    variables: Variables = [thread, *([UNBOUND] * (layout.slots - 1))]
    for slot in layout.cells:
        variables[slot] = [UNBOUND]
    return variables


def _guarded(thread: Thread, scope: Scope, tree: Node, run: Callable[[Variables], object]) -> object:
    """Run code whose depth is bounded by our budgets, and by Python's stack where that is smaller."""
    try:
        return run(_variables(thread, scope))
    except RecursionError:
        error = BudgetError(DEPTH, "calls and expressions are nested too deeply")
        raise failure(thread, error, scope.span(tree)) from None
