"""The .star files of a session: run once each, loaded by each other, and read for what they make.

A file that is loaded runs to its end before the one that loads it goes on, and is frozen then.  A file that is planned
makes experiments; a file that is used, or that holds a model, exports a function that is called without arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.call_sites import call_labels
from compiler.frontend.roots import Place, find_loaded
from compiler.frontend.starlark import builtins
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.evaluate import Module, run_file
from compiler.frontend.starlark.function import Function
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.thread import CallSite, Thread
from compiler.frontend.trees import LIST, TABLE, Tree, TreeEntry, Trees
from compiler.frontend.universe.conversion import calls_of, described
from compiler.frontend.universe.functions import Recording, Universe, experiment_in_recipe
from compiler.frontend.universe.renumbering import renumbered
from compiler.frontend.universe.spec_values import Experiment, Fragment, Model
from compiler.frontend.value import SPEC, Table

if TYPE_CHECKING:
    from pathlib import Path

    from compiler.frontend.session import Session

MAX_LOAD_DEPTH = 16
MAX_LOADED = 256


class SpecFile(NamedTuple):
    """The experiments of a .star file by their names."""

    experiments: Mapping[str, Trees]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order in which the experiments were made."""
        return tuple(self.experiments)

    def experiment(self, name: str | None, file: str, reporter: Reporter) -> Table | None:
        """Return the table of one experiment, or None after reporting RLC0024 or RLC0025."""
        if name is None and len(self.experiments) == 1:
            return next(iter(self.experiments.values())).table(SPEC)
        found = self.experiments.get(name or "")
        if found is not None:
            return found.table(SPEC)
        if name is None:
            message = f"{file} holds {len(self.experiments):,} experiments: which one?"
            ways = [f"write {file}:{known}" for known in self.names[:2]] + [f"rlc plan {file} lists all of them"]
            reporter.add(Diagnostic("RLC0025", message, help=tuple(Help(way) for way in ways)))
            return None
        near = nearest_names(name, self.names) or list(self.names[:3])
        ways = [Help(f"write {file}:{known}") for known in near]
        message = f"{file} holds no experiment called {name}" if name else f"{file}: no name follows the colon"
        reporter.add(Diagnostic("RLC0024", message, help=tuple(ways)))
        return None


class Modules:
    """The files of a session that have been run."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.universe = Universe()
        self.names = {**builtins.universe(), **self.universe.functions()}
        self._modules: dict[Path, Module] = {}
        self._loads: dict[Path, list[SourceFile]] = {}
        self._running: list[tuple[Place, Span | None]] = []

    def spec(self, place: Place, source: SourceFile) -> SpecFile:
        """Run a file and return its experiments.  Raises: SpecError."""
        recording = Recording(Budget())
        with self.universe.run(recording, is_bare=False):
            self._run(place, source, None, recording)
        recording.settle()
        if not recording.experiments:
            way = Help('write experiment(name = "...", use = [...], ...) at the top of the file')
            raise SpecError(Diagnostic("RLC0156", f"{place.name} makes no experiment", help=(way,)))
        files = self.universe.converter.files
        found: dict[str, Experiment] = {}
        for experiment in recording.experiments:
            first = found.setdefault(experiment.name, experiment)
            if first is not experiment:
                raise _named_twice(first, experiment)
        return SpecFile({name: Trees(files, experiment.tree) for name, experiment in found.items()})

    def called(self, place: Place, source: SourceFile, symbol: str, named_at: Span | None) -> Trees:
        """Return what a function of a file makes without arguments.  Raises: SpecError.

        Args:
            symbol: a model; without one it is the recipe that the file is named for.
        """
        recording = Recording(Budget())
        with self.universe.run(recording, is_bare=True):
            module = self._module(place, source, named_at, recording)
            name = symbol or place.path.stem
            function = module.globals.get(name)
            if not isinstance(function, Function):
                raise self._not_exported(place, module, name, named_at)
            at = named_at or Span(source, 0, 0)
            try:
                made = Thread(recording.budget).call_from(
                    CallSite(at.file, ("call", at.start, at.end)), function, [], {}
                )
            except StarlarkError as error:
                raise _not_bare(place, name, str(error), at) from None
        for experiment in recording.experiments:
            raise experiment_in_recipe(experiment, at)
        recording.settle()
        if symbol and isinstance(made, Model):
            return self._own(made.alone(), source, place)
        if not symbol and type(made) is Fragment:
            return self._own(made.tree, source, place)
        wanted = "a model" if symbol else "a fragment"
        raise _not_bare(place, name, f"it returns {described(made)}, not {wanted}", at)

    def requirements(self, place: Place, source: SourceFile) -> Trees:
        """Run a file and return a table of what it requires at its top.  Raises: SpecError."""
        recording = Recording(Budget())
        with self.universe.run(recording, is_bare=False):
            self._run(place, source, None, recording)
        file, found = self.universe.converter.file(source), tuple(recording.settle())
        entry: TreeEntry = ("require", 0, 0, (LIST, 0, 0, found, file, ()))
        return Trees(self.universe.converter.files, (TABLE, 0, 0, (entry,), file, ()))

    def _own(self, tree: Tree, source: SourceFile, place: Place) -> Trees:
        """A tree with the texts that it may lie in, and no others."""
        files = (source, *self._below(place.path, {source}))
        return Trees(files, renumbered(tree, self.universe.converter.files, files))

    def _below(self, path: Path, seen: set[SourceFile]) -> list[SourceFile]:
        found: list[SourceFile] = []
        for source in self._loads.get(path, ()):
            if source not in seen:
                seen.add(source)
                found += [source, *self._below(self.session.places[source].path, seen)]
        return found

    def _module(self, place: Place, source: SourceFile, named_at: Span | None, recording: Recording) -> Module:
        """A file that is loaded, run when it is first needed."""
        known = self._modules.get(place.path)
        if known is None:
            recording.loading += 1
            try:
                known = self._modules[place.path] = self._run(place, source, named_at, recording)
            finally:
                recording.loading -= 1
        return known

    def _run(self, place: Place, source: SourceFile, named_at: Span | None, recording: Recording) -> Module:
        if len(self._running) >= MAX_LOAD_DEPTH or len(self._modules) >= MAX_LOADED:
            message = f"`load` leads to more than {MAX_LOADED} files, or more than {MAX_LOAD_DEPTH} levels deep"
            labels = () if named_at is None else (Label(named_at, "one too many", is_primary=True),)
            raise SpecError(Diagnostic("RLC0016", message, labels))
        cache = self.session.cache
        tree = parse_file(source, cache)
        self._running.append((place, named_at))
        self._loads[place.path] = []
        try:
            return run_file(
                source,
                tree,
                universe=self.names,
                load=partial(self._load, place, recording),
                thread=Thread(recording.budget),
                cache=cache,
            )
        finally:
            self._running.pop()

    def _load(self, loader: Place, recording: Recording, label: str, at: Span) -> Module:
        reporter = Reporter()
        session = self.session
        place = find_loaded(label, at, stdlib=session.stdlib, named_in=loader, reporter=reporter)
        source = None if place is None else session.source(place, named_at=at, reporter=reporter)
        reporter.raise_errors()
        if place is None or source is None:
            raise AssertionError("what cannot be loaded was reported")
        on_the_way = [running.path for running, _ in self._running]
        if place.path in on_the_way:
            raise _circle(self._running[on_the_way.index(place.path) :], place, at)
        self._loads[loader.path].append(source)
        return self._module(place, source, at, recording)

    def _not_exported(self, place: Place, module: Module, name: str, named_at: Span | None) -> SpecError:
        functions = [known for known, value in module.globals.items() if isinstance(value, Function)]
        labels = () if named_at is None else (Label(named_at, "named here", is_primary=True),)
        near = nearest_names(name, functions)
        ways = [Help(f"did you mean {known}?") for known in near] or [Help(f"write def {name}(...) there")]
        if not name.isidentifier():
            ways = [Help("name the file for a function: letters, digits and _")]
        return SpecError(Diagnostic("RLC0155", f"{place.name} exports no function {name}", labels, tuple(ways)))


def _not_bare(place: Place, name: str, why: str, at: Span) -> SpecError:
    way = Help("give every parameter a default, and return fragment(...), or model(...) for a model")
    label = Label(at, "called without arguments", is_primary=True)
    return SpecError(Diagnostic("RLC0155", f"`{name}` of {place.name} cannot be used so: {why}", (label,), (way,)))


def _circle(running: list[tuple[Place, Span | None]], place: Place, at: Span) -> SpecError:
    names = [loader.name for loader, _ in running]
    labels = [Label(span, f"loads {loader.name}") for loader, span in running[1:] if span is not None]
    labels.append(Label(at, f"loads {place.name} again", is_primary=True))
    message = "files load each other in a circle: " + " -> ".join([*names, place.name])
    return SpecError(Diagnostic("RLC0012", message, tuple(labels)))


def _named_twice(first: Experiment, second: Experiment) -> SpecError:
    labels = [Label(second.name_span, "the same name again", is_primary=True)]
    if first.name_span != second.name_span:
        labels.insert(0, Label(first.name_span, "the first"))
    known = {label.span for label in labels}
    for experiment in (first, second):
        for site in call_labels(calls_of(experiment.frame)):
            if site.span not in known:
                known.add(site.span)
                labels.append(site)
    called = f"are called {first.name}" if first.name else "have no name"
    way = Help('put into the name what tells them apart: name = "clip-%s" % clip_high')
    return SpecError(Diagnostic("RLC0157", f"two experiments {called}", tuple(labels), (way,)))
