"""A run of Starlark code: what has been spent, the calls under way, and the place of the call that a built-in serves.

A function is called by the evaluator, or by a built-in through `Thread.call`; both come to `Function.call`, so that the
ban on recursion, the bound on depth and the chain of calls hold for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.function import Function
from compiler.frontend.starlark.origins import Frame, Written
from compiler.frontend.starlark.values import Builtin, type_name

if TYPE_CHECKING:
    from compiler.frontend.starlark.budget import Budget
    from compiler.frontend.starlark.function import Code
    from compiler.frontend.starlark.nodes import Node

_MOST_CALLS = 8
_BUILTIN_STEPS = 3


class CallSite:
    """Where a call is written, for built-ins that tell the places of their arguments."""

    __slots__ = ("_places", "forwarded", "node", "source", "span")

    def __init__(self, source: SourceFile, node: Node, forwarded: dict[str, Written] | None = None) -> None:
        self.source = source
        self.node = node
        self.span = Span(source, node[1], node[2])
        self.forwarded = forwarded
        self._places: dict[str, tuple[Span, Span]] | None = None

    def argument(self, i: int) -> Span:
        """Return the place of a positional argument; that of the `*` argument if it came through one."""
        given = [a for a in self.node[4:] if a[0] not in ("keyword", "kwargs_arg")]
        return self._place(given[min(i, len(given) - 1)]) if given else self.span

    def keyword(self, name: str) -> tuple[Span, Span] | None:
        """Return the places of a keyword and its value; None if the call does not spell it out."""
        places = self._places
        if places is None:
            spelt = [argument for argument in self.node[4:] if argument[0] == "keyword"]
            places = self._places = {a[3][3]: (self._place(a[3]), self._place(a[4])) for a in spelt}
        return places.get(name)

    def written(self, name: str, frame: Frame | None) -> Written | None:
        """Return the origin of a keyword: this call, or whatever wrote the entry of a `**` argument."""
        places = self.keyword(name)
        if places is not None:
            return Written._make((places[0], places[1], frame))
        return None if self.forwarded is None else self.forwarded.get(name)

    def forwarding(self, origins: dict[str, Written] | None) -> CallSite:
        """Return this place for one call, whose `**` argument has entries of known origin."""
        return self if not origins else CallSite(self.source, self.node, origins)

    def _place(self, node: Node) -> Span:
        return Span._make((self.source, node[1], node[2]))


class Thread:
    """A run of code.

    `frame` is the innermost call of a function, `site` where the built-in that runs now was called, and `running` the
    code of all functions under way; `printed` is what `print` was given, which goes nowhere by itself.
    """

    __slots__ = ("budget", "frame", "printed", "running", "site")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.frame: Frame | None = None
        self.site: CallSite | None = None
        self.running: set[Code] = set()
        self.printed: list[str] = []

    def call(self, function: object, args: list[object], kwargs: dict[str, object]) -> object:
        """Call a value on behalf of the built-in that runs now.  Raises: StarlarkError, SpecError."""
        assert self.site is not None, "only a built-in that was called itself calls others"
        return self.call_from(self.site, function, args, kwargs)

    def call_from(self, site: CallSite, function: object, args: list[object], kwargs: dict[str, object]) -> object:
        """Call a value as if at a place in a text.  Raises: StarlarkError, SpecError."""
        if type(function) is Function:
            return function.call(self, site, args, kwargs)
        if type(function) is not Builtin:
            raise StarlarkError(f"a value of type {type_name(function)} is not callable")
        budget = self.budget
        budget.steps -= _BUILTIN_STEPS
        if budget.steps < 0:
            budget.step(0)
        before, self.site = self.site, site
        try:
            return function.implementation(self, args, kwargs)
        finally:
            self.site = before


def failure(thread: Thread, error: StarlarkError, at: Span) -> SpecError:
    """Return an error of running code with its place: the innermost expression, then the calls that led there."""
    labels = [Label(at, "fails here", is_primary=True)]
    frame = thread.frame
    while frame is not None and len(labels) <= _MOST_CALLS:
        labels.append(Label(frame.call_span, f"`{frame.function_name}` is called here"))
        frame = frame.parent
    advice = (Help(error.advice),) if error.advice else ()
    return SpecError(Diagnostic(error.code, str(error), tuple(labels), advice))
