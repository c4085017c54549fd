"""A spec with all that it uses: read, parsed, checked for cycles, and merged into one Value.

`use` leads to recipes, which lead to further recipes; `model.name = "//models:..."` leads to a model file.  Nothing
else is read here: data, weights and custom code are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.merge import merge
from compiler.frontend.overrides import parse_overrides
from compiler.frontend.read import read_source
from compiler.frontend.roots import Place, check_marker, find_file, find_label, find_root
from compiler.frontend.toml import parse
from compiler.frontend.value import RECIPE, SPEC, Leaf, List, Node, Priority, Table, join_path, node_at

MAX_USE_DEPTH = 16
MAX_FILES = 256

_NOT_MODELS = ("off", "auto")


class Loaded(NamedTuple):
    """What a command line says, as one Value.

    `sources` are all texts read, the spec first; `root` is the folder that paths may not leave; `name` is the spec
    as the user gave it.
    """

    value: Table
    sources: tuple[SourceFile, ...]
    root: Path
    name: str
    folders: dict[SourceFile, Path]

    def folder_of(self, source: SourceFile) -> Path:
        """Return the folder that relative paths in a text start from; for `--set` that of the spec."""
        return self.folders.get(source) or self.folders[self.sources[0]]


def load(path: Path, overrides: Sequence[str], stdlib: Path, reporter: Reporter) -> Loaded | None:
    """Return the merged Value of a spec, its recipes, its model and `--set`, or None after reporting.

    None if a file cannot be had, since all that it would have said would be missed again later.  Disagreements
    (RLC0210) and overrides that make no sense (RLC011n) are reported, and the rest is returned.
    """
    name = str(path)
    try:
        place = Place(Path(os.path.realpath(path)), name, find_root(path))
    except ValueError as error:
        reporter.add(Diagnostic("RLC0003", f"{name!r} is no path: {error}"))
        return None
    loading = _Loading(place, stdlib, reporter)
    layers = loading.with_recipes()
    check_marker(place, reporter)
    layers += parse_overrides(overrides, reporter)
    model = loading.model(layers)
    if loading.has_failed:
        return None
    if model is not None:
        layers.append(model)
    folders = {document.table.span.file: document.place.path.parent for document in loading.documents.values()}
    value = _with_stage_recipes(merge(layers, reporter), loading, folders)
    if value is None:
        return None
    sources = tuple(dict.fromkeys((*(table.span.file for table in layers), *folders)))
    return Loaded(value, sources, place.root, name, folders)


def _with_stage_recipes(value: Table, loading: _Loading, folders: dict[SourceFile, Path]) -> Table | None:
    """Lay each stage over the recipes that it uses itself."""
    stages = value.entries.get("stages")
    if stages is None or not isinstance(stages.node, List):
        return value
    items: list[Node] = []
    for index, item in enumerate(stages.node.items):
        if not isinstance(item, Table) or "use" not in item.entries:
            items.append(item)
            continue
        inner = _Loading(loading.spec, loading.stdlib, loading.reporter)
        layers = inner.with_recipes(item)
        if inner.has_failed:
            return None
        folders.update({d.table.span.file: d.place.path.parent for d in inner.documents.values() if d.table != item})
        name = item.get("name")
        part = str(name.value) if isinstance(name, Leaf) else f"[{index}]"
        items.append(merge(layers, loading.reporter, at=join_path("stages", part))._replace(span=item.span))
    node = stages.node._replace(items=tuple(items))
    return value._replace(entries={**value.entries, "stages": stages._replace(node=node)})


class _Document(NamedTuple):
    """A file of the graph of `use`, and its edges: where each stands, and the real path that it leads to."""

    place: Place
    table: Table
    uses: list[tuple[Span, Path]]


class _Loading:
    """The files of one spec.  Each is read once, at its smallest distance from the spec."""

    def __init__(self, spec: Place, stdlib: Path, reporter: Reporter) -> None:
        self.spec = spec
        self.stdlib = stdlib
        self.reporter = reporter
        self.documents: dict[Path, _Document] = {}
        self.seen: set[Path] = set()
        self.has_failed = False

    def with_recipes(self, start: Table | None = None) -> list[Table]:
        """The spec and all recipes, breadth first, so that the nearest way to a recipe gives its depth.

        With `start`, a stage of the spec takes the place of the whole of it.
        """
        waiting: list[tuple[Place, int, Span | None]] = [(self.spec, 0, None)]
        self.seen.add(self.spec.path)
        for place, depth, named_at in waiting:  # grows while it is read
            if depth > MAX_USE_DEPTH or len(self.documents) >= MAX_FILES:
                self.too_many(named_at)
                break
            priority = SPEC if depth == 0 else Priority(RECIPE.level, depth)
            table = start if start is not None and depth == 0 else self.read(place, priority, named_at)
            if table is None:
                continue
            document = _Document(place, table, [])
            self.documents[place.path] = document
            for target, span in self.used_by(document):
                document.uses.append((span, target.path))
                if target.path not in self.seen:
                    self.seen.add(target.path)
                    waiting.append((target, depth + 1, span))
        if self.spec.path in self.documents:
            self.find_cycles(self.spec.path, [], set())
        return [document.table for document in self.documents.values()]

    def read(self, place: Place, priority: Priority, named_at: Span | None) -> Table | None:
        source = read_source(place.path, place.name, named_at=named_at, reporter=self.reporter)
        table = None if source is None else parse(source, priority, self.reporter)
        if table is None:
            self.has_failed = True
        return table

    def used_by(self, document: _Document) -> list[tuple[Place, Span]]:
        used = document.table.get("use")
        if used is None:
            return []
        places: list[tuple[Place, Span]] = []
        for item in used.items if isinstance(used, List) else (used,):
            if item is used:
                self.malformed_use(item)
                continue
            place = self.target(item, document.place)
            if place is not None:
                places.append((place, item.span))
            else:
                self.has_failed = True
        return places

    def target(self, item: Node, named_in: Place) -> Place | None:
        if not isinstance(item, Leaf) or not isinstance(item.value, str) or not item.value.isprintable():
            self.malformed_use(item)
            return None
        if item.value.startswith("//"):
            return find_label(item.value, item.span, kind="recipes", stdlib=self.stdlib, reporter=self.reporter)
        if not item.value.endswith((".toml", ".star")):
            self.malformed_use(item)
            return None
        return find_file(item.value, item.span, named_in=named_in, reporter=self.reporter)

    def model(self, layers: Sequence[Table]) -> Table | None:
        """The model file that the strongest `model.name` asks for."""
        names = [node for table in layers if (node := node_at(table, "model", "name")) is not None]
        name = max(names, key=lambda node: node.priority.strength, default=None)
        if not isinstance(name, Leaf) or not isinstance(name.value, str) or name.value in _NOT_MODELS:
            return None
        place = find_label(name.value, name.span, kind="models", stdlib=self.stdlib, reporter=self.reporter)
        if place is None:
            self.has_failed = True
            return None
        table = self.read(place, Priority(RECIPE.level, name.priority.depth + 1), name.span)
        if table is not None and self.is_model(table, place):
            return table
        self.has_failed = True
        return None

    def is_model(self, table: Table, place: Place) -> bool:
        others = [Label(e.key_span, "not part of a model") for key, e in table.entries.items() if key != "model"]
        model = table.entries.get("model")
        if model is not None and not isinstance(model.node, Table):
            others.append(Label(model.node.span, "not a table"))
        if model is None or others:
            labels = tuple(label._replace(is_primary=i == 0) for i, label in enumerate(others))
            message = f"{place.name} must hold the table [model] and nothing else"
            self.reporter.add(Diagnostic("RLC0013", message, labels))
            return False
        return True

    def find_cycles(self, path: Path, chain: list[tuple[Path, Span]], done: set[Path]) -> None:
        """Walk the graph depth first; an edge back into the chain closes a cycle."""
        done.add(path)
        on_the_way = [self.spec.path, *(target for target, _ in chain)]
        for span, target in self.documents[path].uses:
            if target in on_the_way:
                start = on_the_way.index(target)
                self.cycle([*chain[start:], (target, span)])
            elif target in self.documents and target not in done:
                self.find_cycles(target, [*chain, (target, span)], done)

    def cycle(self, edges: Sequence[tuple[Path, Span]]) -> None:
        self.has_failed = True
        names = [self.documents[target].place.name for target, _ in edges]
        labels = [Label(span, f"uses {name}") for (_, span), name in zip(edges, names, strict=True)]
        labels[-1] = labels[-1]._replace(text=f"uses {names[-1]} again", is_primary=True)
        message = "files use each other in a circle: " + " -> ".join([names[-1], *names])
        self.reporter.add(Diagnostic("RLC0012", message, tuple(labels)))

    def too_many(self, named_at: Span | None) -> None:
        self.has_failed = True
        labels = () if named_at is None else (Label(named_at, "one too many", is_primary=True),)
        message = f"`use` leads to more than {MAX_FILES} files, or more than {MAX_USE_DEPTH} levels deep"
        self.reporter.add(Diagnostic("RLC0016", message, labels))

    def malformed_use(self, node: Node) -> None:
        self.has_failed = True
        label = Label(node.span, "expected a label //recipes:NAME, or a path that ends in .toml", is_primary=True)
        text, example = "", '["//recipes:NAME", "base.toml"]'
        if isinstance(node, Leaf) and isinstance(node.value, str):
            text = node.value.removeprefix("//recipes:")
        if os.path.isfile(self.stdlib / "recipes" / f"{text}.toml") and text.isidentifier():
            example = f'["//recipes:{text}"]'
        elif text.endswith(".toml") and text.isprintable():
            example = f'["{text}"]'
        advice = Help(f"write use = {example}")
        self.reporter.add(Diagnostic("RLC0015", "`use` is a list of labels and paths", (label,), (advice,)))
