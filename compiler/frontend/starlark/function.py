"""The functions that a file defines, and how arguments come to their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.origins import Frame
from compiler.frontend.starlark.values import StarlarkDict

if TYPE_CHECKING:
    from compiler.frontend.starlark.bindings import Layout
    from compiler.frontend.starlark.thread import CallSite, Thread


class Unbound:
    """What a variable holds before it is assigned, and a parameter without a default for its default."""

    __slots__ = ()


UNBOUND: Final = Unbound()

# How many variables are laid out, and how many parameters looked through, in the time of a step.
_SLOTS_A_STEP = 4

# Where code keeps its variables: the thread, then a place for each of the function's slots, which holds a value or,
# where the resolver says so, a cell.
Variables = list[Any]
# A body gives a tuple of the value returned, or None if it came to its end.
Body = Callable[[Variables], tuple[object, ...] | None]


class Code:
    """The text of a function, shared by all values that a `def` or a `lambda` makes of it.

    `names` are the parameters that arguments may be given to, in `slots`; the first `positional` of them are given by
    position too.  `star` and `kwargs` are the slots that take what is left over, 0 without one.  The body is made at
    the first call, since most functions of a library are never called; one run of it costs up to `steps`.
    """

    __slots__ = (
        "blank",
        "body",
        "indexes",
        "kwargs",
        "layout",
        "make_body",
        "name",
        "names",
        "positional",
        "slots",
        "star",
        "steps",
    )

    def __init__(
        self, name: str, parameters: list[tuple[str, str]], layout: Layout, make_body: Callable[[], tuple[Body, int]]
    ) -> None:
        """Lay out a function; `parameters` are pairs of a kind (a rule of the grammar, `*` if bare) and a name."""
        self.name = name
        self.layout = layout
        self.blank: Variables = [None, *([UNBOUND] * (layout.slots - 1))]
        self.star = self.kwargs = 0
        names: list[str] = []
        slots: list[int] = []
        positional: int | None = None
        slot = 0
        for kind, parameter in parameters:
            slot += kind != "*"
            if kind == "param":
                names.append(parameter)
                slots.append(slot)
            elif kind == "kwargs_param":
                self.kwargs = slot
            else:
                positional = len(names)
                self.star = slot if kind == "star_param" else 0
        self.names = tuple(names)
        self.slots = tuple(slots)
        self.positional = len(names) if positional is None else positional
        self.indexes = {name: i for i, name in enumerate(names)}
        self.make_body = make_body
        self.body: Body | None = None
        self.steps = 0

    def ready_body(self) -> Body:
        """Return the body, made if this is the first call."""
        if self.body is None:
            self.body, steps = self.make_body()
            self.steps = steps + self.layout.slots // _SLOTS_A_STEP
        return self.body


class Function:
    """A function as a value: its code, the defaults of its parameters, and the cells that it shares with others."""

    __slots__ = ("cells", "code", "defaults", "exact", "is_frozen")

    def __init__(self, code: Code, defaults: tuple[object, ...], cells: tuple[list[object], ...]) -> None:
        self.code = code
        self.defaults = defaults
        self.cells = cells
        simple = not (code.star or code.kwargs) and code.positional == len(code.names)
        self.exact = code.positional if simple else -1
        self.is_frozen = False

    @property
    def name(self) -> str:
        """The name in its `def`; `lambda` for a lambda."""
        return self.code.name

    def held(self) -> list[object]:
        """Return the values that the function keeps alive: its defaults, and the variables that it captured."""
        return [value for value in (*self.defaults, *(cell[0] for cell in self.cells)) if value is not UNBOUND]

    def call(self, thread: Thread, site: CallSite, args: list[object], kwargs: dict[str, object]) -> object:
        """Return what the function returns.  Raises: StarlarkError about the call, SpecError from inside."""
        code = self.code
        running, budget = thread.running, thread.budget
        body = code.body or code.ready_body()
        budget.step(code.steps)
        if code in running:
            raise StarlarkError(f"function {code.name} called recursively: recursion is not allowed")
        variables = code.blank.copy()
        variables[0] = thread
        if len(args) == self.exact and not kwargs:
            variables[1 : self.exact + 1] = args
        else:
            self._bind(variables, args, kwargs, thread, site)
        layout = code.layout
        for slot in layout.cells:
            variables[slot] = [variables[slot]]
        for (_, slot), cell in zip(layout.captured, self.cells, strict=True):
            variables[slot] = cell
        caller = thread.frame
        budget.enter()
        thread.frame = Frame._make((code.name, site.span, caller))
        running.add(code)
        try:
            result = body(variables)
        finally:
            running.discard(code)
            thread.frame = caller
            budget.leave()
        return None if result is None else result[0]

    def _bind(
        self, variables: Variables, args: list[object], kwargs: dict[str, object], thread: Thread, site: CallSite
    ) -> None:
        code = self.code
        slots, positional = code.slots, code.positional
        if len(args) > positional and not code.star:
            takes = f"at most {positional}" if positional else "no"
            plural = "" if positional == 1 else "s"
            given = f"({len(args)} given): too many positional arguments"
            raise StarlarkError(f"function {code.name} accepts {takes} positional argument{plural} {given}")
        for slot, value in zip(slots, args[:positional], strict=False):
            variables[slot] = value
        if code.star:
            variables[code.star] = tuple(args[positional:])
        rest = StarlarkDict() if code.kwargs else None
        for name, value in kwargs.items():
            i = code.indexes.get(name)
            if i is not None:
                if variables[slots[i]] is not UNBOUND:
                    raise StarlarkError(f"function {code.name} got multiple values for parameter {shown(name)}")
                variables[slots[i]] = value
            elif rest is not None:
                rest.write(name, value, site.written(name, thread.frame))
            else:
                raise StarlarkError(self._unexpected(name))
        if rest is not None:
            variables[code.kwargs] = rest
        missing: list[str] = []
        for name, slot, default in zip(code.names, slots, self.defaults, strict=True):
            if variables[slot] is UNBOUND:
                if default is UNBOUND:
                    missing.append(name)
                variables[slot] = default
        if missing:
            plural = "" if len(missing) == 1 else "s"
            raise StarlarkError(f"function {code.name} missing {len(missing)} argument{plural} ({', '.join(missing)})")

    def _unexpected(self, name: str) -> str:
        near = nearest_names(name, self.code.names)
        advice = f" (did you mean {near[0]}?)" if near else ""
        return f"function {self.code.name} got an unexpected keyword argument {shown(name)}{advice}"
