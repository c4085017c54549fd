"""Where every value came from: a table beside the experiment, never inside it.

Spans stop at `lower`; from there on an origin is found by the path of the field.  So reformatting a spec changes
origins and nothing else, least of all the plan hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compiler.diagnostics.annotations import TYPE_CHECKING, Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span

if TYPE_CHECKING:
    from compiler.diagnostics.diagnostic import Diagnostic
    from compiler.ir.experiment import Experiment
    from compiler.ir.openness import Auto
    from compiler.ir.subject import Subject

OriginKind = Literal["default", "assumed", "recipe", "spec", "shrunk", "override", "derived", "inherited"]
WRITTEN: tuple[OriginKind, ...] = ("spec", "override")


class Call(NamedTuple):
    """A call in a .star file on the way to a value: the function, and where it is called."""

    function: str
    span: Span


class Origin(NamedTuple):
    """How one value came about.

    `span` is the text of a written value, `key` that of its key; `by` names the pass or equation that derived it,
    `inputs` the paths it was derived from; `shadowed` are written values of lower priority that lost; `calls` lead from
    the top of a .star file to where the value is written, the outermost first.
    """

    kind: OriginKind
    span: Span | None = None
    key: Span | None = None
    by: str = ""
    inputs: tuple[str, ...] = ()
    shadowed: tuple[Origin, ...] = ()
    calls: tuple[Call, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether the user said it, in the experiment's own file or on the command line."""
        return self.kind in WRITTEN


class Provenance:
    """Origins by path, such as `stages.0.train.global_batch`.

    Args:
        asked: paths of the layout's settings that say "auto": what decides them later keeps no trace of the word.
        read: paths that expressions read, whether or not these are computed yet.
        refuses: returns why a requirement does not let a layout be chosen; given an experiment that has it, and whether
            more than its axes and sides are decided.
        judges: yields what the rules about loops say of an experiment, for a choice of [schedule] mode.
        excluded: where every layout that fits is refused, why the fastest one is, and which it is.
    """

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}
        self.asked: frozenset[str] = frozenset()
        self.read: frozenset[str] = frozenset()
        self.refuses: Callable[[Experiment[Auto], bool], str] | None = None
        self.judges: Callable[[Subject], Iterator[Diagnostic]] | None = None
        self.excluded: tuple[str, str] | None = None

    def record(self, path: str, origin: Origin) -> None:
        """Keep the origin of a field; what the compiler derives later replaces "nobody said anything"."""
        self._origins[path] = origin

    def derived(self, path: str, *, by: str, inputs: tuple[str, ...], kind: OriginKind = "derived") -> None:
        """Keep that a pass or an equation computed a field from others."""
        self._origins[path] = Origin(kind, None, None, by, inputs)

    def get(self, path: str) -> Origin | None:
        """Return the origin of a field, or None where the path is not a field of the experiment."""
        return self._origins.get(path)

    def __getitem__(self, path: str) -> Origin:
        return self._origins[path]

    def __contains__(self, path: str) -> bool:
        return path in self._origins

    def items(self) -> Iterator[tuple[str, Origin]]:
        """Yield every path with its origin."""
        yield from self._origins.items()
