"""What one process has read: each file once, however many experiments use it.

A sweep compiles thousands of experiments that share recipes and models; a session keeps the trees of those files, and
of each .star file the experiments that running it made.  Trees are also kept between runs, in the cache folder: those
of TOML files, and those of what the standard library's functions return, so that a plan which runs no code of its own
loads neither a parser of TOML nor the interpreter.
"""

from __future__ import annotations

import os
from functools import cached_property

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.read import read_source
from compiler.frontend.roots import Place, check_marker, find_root
from compiler.frontend.tree_store import TreeStore
from compiler.frontend.trees import Trees

if TYPE_CHECKING:
    from compiler.frontend.requirements import Requirement
    from compiler.frontend.universe.modules import Modules, SpecFile


class Session:
    """The files that have been read.

    Args:
        stdlib: the folder of the standard library.
        cache: a folder for what is made of files; None to keep nothing between runs.
    """

    def __init__(self, stdlib: Path, cache: Path | None = None) -> None:
        self.stdlib = stdlib
        self.cache = cache
        self.places: dict[SourceFile, Place] = {}
        self.policies: dict[Path, tuple[Requirement, ...]] = {}
        self._store = TreeStore(cache)
        self._sources: dict[Path, SourceFile] = {}
        self._trees: dict[tuple[Path, str], Trees] = {}
        self._specs: dict[Path, SpecFile] = {}
        self._places: dict[Path, tuple[Place | None, tuple[Diagnostic, ...]]] = {}

    def place(self, file: Path, reporter: Reporter) -> Place | None:
        """Return where a spec is, or None after reporting RLC0003 for what is no path; reports RLC0014 of its root."""
        known = self._places.get(file)
        if known is None:
            said = Reporter()
            known = self._places[file] = _place(file, said), tuple(said.diagnostics)
        for diagnostic in known[1]:
            reporter.add(diagnostic)
        return known[0]

    def source(self, place: Place, *, named_at: Span | None, reporter: Reporter) -> SourceFile | None:
        """Return the text of a file, or None after reporting why it cannot be had."""
        known = self._sources.get(place.path)
        if known is not None:
            return known
        source = read_source(place.path, place.name, named_at=named_at, reporter=reporter)
        if source is not None:
            self._sources[place.path] = source
            self.places[source] = place
        return source

    def hold(self, place: Place, source: SourceFile) -> None:
        """Take this text for that of a file, which is then not read: of an editor, or one that was not written yet."""
        self._sources[place.path] = source
        self.places[source] = place

    def trees(self, place: Place, *, named_at: Span | None, reporter: Reporter, symbol: str = "") -> Trees | None:
        """Return what a recipe or a model file says, or None after reporting.

        Args:
            symbol: the function of a .star file to call, with no arguments; that of the file's name by default.
        """
        key = (place.path, symbol)
        known = self._trees.get(key)
        if known is not None:
            return known
        source = self.source(place, named_at=named_at, reporter=reporter)
        if source is None:
            return None
        is_star = place.path.suffix == ".star"
        found = (
            self._called(place, source, symbol, named_at, reporter) if is_star else self._toml(place, source, reporter)
        )
        if found is not None:
            self._trees[key] = found
        return found

    def spec(self, place: Place, *, reporter: Reporter) -> SpecFile | None:
        """Return the experiments of a .star file, or None after reporting.

        Reports what running it does, RLC0156 (there are none) and RLC0157 (two of one name).
        """
        known = self._specs.get(place.path)
        if known is not None:
            return known
        source = self.source(place, named_at=None, reporter=reporter)
        if source is None:
            return None
        try:
            found = self._specs[place.path] = self.modules.spec(place, source)
        except SpecError as fault:
            _report(fault, reporter)
            return None
        return found

    @cached_property
    def modules(self) -> Modules:
        """The .star files that have been run; the interpreter is loaded with the first."""
        from compiler.frontend.universe.modules import Modules

        return Modules(self)

    def _toml(self, place: Place, source: SourceFile, reporter: Reporter) -> Trees | None:
        tree = self._store.toml(place.path, source.text)
        if tree is None:
            from compiler.frontend.toml import parse_tree

            tree = parse_tree(source, reporter)
            if tree is not None:
                self._store.keep_toml(place.path, source.text, tree)
        return None if tree is None else Trees((source,), tree)

    def _called(
        self, place: Place, source: SourceFile, symbol: str, named_at: Span | None, reporter: Reporter
    ) -> Trees | None:
        is_library = place.name.startswith("//")
        found = (
            self._store.called(place.path, symbol, lambda path: self._library_file(path, place)) if is_library else None
        )
        if found is not None:
            return found
        try:
            found = self.modules.called(place, source, symbol, named_at)
        except SpecError as fault:
            _report(fault, reporter)
            return None
        if is_library:
            paths = {source: self.places[source].name.removeprefix("//") for source in found.files}
            self._store.keep_called(place.path, symbol, found, paths)
        return found

    def _library_file(self, path: str, place: Place) -> SourceFile | None:
        return self.source(Place(place.root / path, f"//{path}", place.root), named_at=None, reporter=Reporter())


def _place(file: Path, reporter: Reporter) -> Place | None:
    try:
        place = Place(Path(os.path.realpath(file)), str(file), find_root(file))
    except ValueError as error:
        reporter.add(Diagnostic("RLC0003", f"{str(file)!r} is no path: {error}"))
        return None
    check_marker(place, reporter)
    return place


def _report(fault: SpecError, reporter: Reporter) -> None:
    for diagnostic in fault.diagnostics:
        reporter.add(diagnostic)
