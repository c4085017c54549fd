"""The errors of a spec mended by the ways out that they offer, as far as that makes it better.

A way out is applied to the text in memory and the whole spec compiled again; only what leaves fewer errors than there
were is kept.  One error may hide others, so the search goes on behind a text that is no better, and comes back if
nothing follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.compile import Compiled, compile_all
from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.explain import Explainer
from compiler.fixes.edits import applied, edits_of, is_applicable, keys_of
from compiler.frontend.choice import choose
from compiler.frontend.loader import load
from compiler.frontend.read import read_source
from compiler.frontend.session import Session
from compiler.frontend.value import Leaf, List, Node, Table
from compiler.ir.catalogue import Catalogue
from compiler.ir.provenance import Origin

MAX_STEPS = 40


class Mended(NamedTuple):
    """A spec before and after: its texts, and what compiling the second one says.

    `overrides` are those of --set that are still in force; `left` are errors with a way out that cannot be applied to
    this text, or makes nothing better.
    """

    before: SourceFile
    after: str
    found: tuple[Compiled, ...]
    overrides: tuple[str, ...]
    left: tuple[tuple[Diagnostic, Help], ...]


class _State(NamedTuple):
    path: Path
    session: Session
    names: tuple[str, ...]
    source: SourceFile
    overrides: tuple[str, ...]
    found: tuple[Compiled, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        found = (d for compiled in self.found for d in compiled.diagnostics if d.severity == "error")
        return tuple(dict.fromkeys(found))

    @property
    def badness(self) -> tuple[int, int]:
        """Experiments that cannot even be read count before all errors."""
        return sum(compiled.subject is None for compiled in self.found), len(self.errors)


def mend(path: Path, catalogue: Catalogue, *, overrides: Sequence[str] = (), shrink: bool = False) -> Mended | None:
    """Return a spec with its errors mended, or None if it cannot be read; nothing is written.

    A field that --set gives a wrong value is set in the text, and compiled without that --set.
    """
    mending = _Mending(path, catalogue, shrink=shrink)
    source = mending.read()
    if source is None:
        return None
    best = state = mending.compiled(source, tuple(overrides))
    seen = {source.text}
    for _ in range(MAX_STEPS):
        following = mending.step(state, seen)
        if following is None:
            break
        state = following
        best = state if state.badness < best.badness else best
    left = tuple((d, way) for d in best.errors if (way := _way_out(d)) is not None)
    return Mended(source, best.source.text, best.found, best.overrides, left)


class _Mending:
    def __init__(self, path: Path, catalogue: Catalogue, *, shrink: bool) -> None:
        self.path = path
        self.catalogue = catalogue
        self.shrink = shrink
        self.place = Session(catalogue.stdlib).place(choose(path).path, Reporter())

    def read(self) -> SourceFile | None:
        if self.place is None:
            return None
        return read_source(self.place.path, self.place.name, named_at=None, reporter=Reporter())

    def compiled(self, source: SourceFile, overrides: tuple[str, ...]) -> _State:
        assert self.place is not None, "the text was read"
        session = Session(self.catalogue.stdlib, self.catalogue.cache)
        session.hold(self.place, source)
        all_ = compile_all(self.path, self.catalogue, overrides=overrides, shrink=self.shrink, session=session)
        names, found = zip(*all_, strict=True)
        return _State(self.path, session, names, source, overrides, found)

    def step(self, state: _State, seen: set[str]) -> _State | None:
        """The first way out that leaves the spec better, or else the first that takes its error away."""
        other: _State | None = None
        for error in state.errors:
            candidate = self.without(error, state, seen)
            if candidate is None:
                continue
            if candidate.badness < state.badness:
                return candidate
            is_gone = all((d.code, d.message) != (error.code, error.message) for d in candidate.errors)
            if other is None and is_gone and candidate.badness[0] <= state.badness[0]:
                other = candidate
        return other

    def without(self, error: Diagnostic, state: _State, seen: set[str]) -> _State | None:
        way = _way_out(error)
        if way is None:
            return None
        edits = edits_of(way, error, state.source, lambda path: _place(state, path), cache=self.catalogue.cache)
        if edits is None:
            return None
        text = applied(state.source.text, edits)
        paths = {*way.unsets, *(path for path, _ in way.sets)}
        overrides = tuple(o for o in state.overrides if o.partition("=")[0].strip() not in paths)
        if text in seen and overrides == state.overrides:
            return None
        seen.add(text)
        return self.compiled(SourceFile(state.source.name, text), overrides)


def _way_out(error: Diagnostic) -> Help | None:
    """The first way out that a tool can apply."""
    return next((way for way in error.help if is_applicable(way)), None)


def _place(state: _State, path: str) -> Span | None:
    """Where the text gives a field its value."""
    for name, compiled in zip(state.names, state.found, strict=True):
        origins = _origins(compiled, path)
        places = [one.span for one in origins if one.kind == "spec" and one.span is not None]
        # A field that could not be read has no origin; what was written is a value all the same.
        places += [node.span for node in _written(state, name, path)]
        for place in places:
            if place.file is state.source:
                return place
    return None


def _origins(compiled: Compiled, path: str) -> Iterator[Origin]:
    if compiled.subject is None:
        return
    for field in Explainer(compiled.subject, broken=compiled.broken).fields_called(path):
        origin = compiled.subject.origins.get(field)
        if origin is not None:
            yield from _with_shadowed(origin)


def _written(state: _State, name: str, path: str) -> Iterator[Node]:
    chosen = choose(state.path)
    loaded = load(chosen._replace(name=name or chosen.name), (), state.session, Reporter())
    node: Node | None = None if loaded is None else loaded.value
    for key in keys_of(path):
        if isinstance(node, List):
            node = next((item for at, item in enumerate(node.items) if key in (f"[{at}]", _name_of(item))), None)
        else:
            node = node.get(key) if isinstance(node, Table) else None
    if node is not None:
        yield node


def _with_shadowed(origin: Origin) -> Iterator[Origin]:
    yield origin
    for lost in origin.shadowed:
        yield from _with_shadowed(lost)


def _name_of(node: Node) -> str:
    name = node.get("name") if isinstance(node, Table) else None
    return str(name.value) if isinstance(name, Leaf) else ""
