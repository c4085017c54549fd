"""A spec with all that it uses: read, checked for cycles, and merged into one Value.

`use` leads to recipes, which lead to further recipes; `model.name = "//models:..."` leads to a model file.  In a .star
file both may be values that are there already: fragments.  Labels lead to the standard library, or to a further root.
Nothing else is read here: data, weights and custom code are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from compiler.diagnostics.annotations import TypeAlias
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.choice import Chosen, choose
from compiler.frontend.merge import merge
from compiler.frontend.requirements import Requirement, read_requirements
from compiler.frontend.roots import Place, Root, find_file, find_label, find_model, is_further
from compiler.frontend.session import Session
from compiler.frontend.trees import restated_table
from compiler.frontend.value import (
    RECIPE,
    SPEC,
    Facts,
    Fragment,
    Leaf,
    List,
    Node,
    Priority,
    Table,
    join_path,
    node_at,
)

MAX_USE_DEPTH = 16
MAX_FILES = 256

_NOT_MODELS = ("off", "auto")

_Target: TypeAlias = "Place | Fragment"
_Key: TypeAlias = "Path | int"


class Loaded(NamedTuple):
    """What a command line says, as one Value.

    `sources` are all texts read, the spec first; `root` is the folder that paths may not leave; `name` is the file of
    the spec as the user gave it; `requires` is what the spec and its recipes demand of the resolved experiment; `roots`
    are the further ones.
    """

    value: Table
    sources: tuple[SourceFile, ...]
    root: Path
    name: str
    folders: dict[SourceFile, Path]
    requires: tuple[Requirement, ...] = ()
    roots: tuple[Root, ...] = ()

    def folder_of(self, source: SourceFile) -> Path:
        """Return the folder that relative paths in a text start from; for `--set` that of the spec."""
        return self.folders.get(source) or self.folders[self.sources[0]]


def load(
    spec: Path | Chosen, overrides: Sequence[str], session: Session, reporter: Reporter, *, layers: Sequence[Table] = ()
) -> Loaded | None:
    """Return the merged Value of a spec, its recipes, its model and `--set`, or None after reporting.

    Args:
        spec: a file; of a .star file with several experiments `FILE:NAME`.
        layers: further tables, each with a priority of its own.

    None if a file cannot be had, since all that it would have said would be missed again later.  Disagreements
    (RLC0210) and overrides that make no sense (RLC011n) are reported, and the rest is returned.
    """
    chosen = spec if isinstance(spec, Chosen) else choose(spec)
    place = session.place(chosen.path, reporter)
    if place is None:
        return None
    loading = _Loading(place, session, reporter)
    found = loading.with_recipes(chosen)
    found += layers
    if overrides:
        from compiler.frontend.overrides import parse_overrides

        found += parse_overrides(overrides, reporter)
    found = loading.with_model(found)
    if loading.has_failed:
        return None
    value, added = _with_stage_recipes(merge(found, reporter), loading)
    if value is None:
        return None
    requires = (*read_requirements(found, reporter), *added)
    folders = {source: known.path.parent for source, known in session.places.items()}
    sources = tuple(dict.fromkeys((*(table.span.file for table in found), *folders)))
    return Loaded(value, sources, place.root, place.name, folders, requires, place.roots)


def _with_stage_recipes(value: Table, loading: _Loading) -> tuple[Table | None, list[Requirement]]:
    """Lay each stage over the recipes that it uses itself; with what those require."""
    stages = value.entries.get("stages")
    requires: list[Requirement] = []
    if stages is None or not isinstance(stages.node, List):
        return value, requires
    items: list[Node] = []
    for index, item in enumerate(stages.node.items):
        if not isinstance(item, Table) or "use" not in item.entries:
            items.append(item)
            continue
        inner = _Loading(loading.spec, loading.session, loading.reporter)
        layers = inner.with_recipes(item)
        if inner.has_failed:
            return None, requires
        name = item.get("name")
        part = str(name.value) if isinstance(name, Leaf) else f"[{index}]"
        items.append(merge(layers, loading.reporter, at=join_path("stages", part))._replace(span=item.span))
        requires += read_requirements(layers[1:], loading.reporter, stage=index)
    node = stages.node._replace(items=tuple(items))
    return value._replace(entries={**value.entries, "stages": stages._replace(node=node)}), requires


class _Document(NamedTuple):
    """A node of the graph of `use`, and its edges: where each stands, and the node that it leads to."""

    place: Place
    table: Table
    uses: list[tuple[Span, _Key]]


class _Loading:
    """The files of one spec.  Each is read once, at its smallest distance from the spec."""

    def __init__(self, spec: Place, session: Session, reporter: Reporter) -> None:
        self.spec = spec
        self.session = session
        self.reporter = reporter
        self.documents: dict[_Key, _Document] = {}
        self.seen: set[_Key] = set()
        self.has_failed = False

    def with_recipes(self, start: Table | Chosen) -> list[Table]:
        """The spec and all recipes, breadth first, so that the nearest way to a recipe gives its depth.

        Args:
            start: a stage of the spec, which then takes the place of the whole of it, or the one that was chosen.
        """
        waiting: list[tuple[_Target, int, Span | None]] = [(self.spec, 0, None)]
        self.seen.add(self.spec.path)
        for target, depth, named_at in waiting:  # grows while it is read
            if depth > MAX_USE_DEPTH or len(self.documents) >= MAX_FILES:
                self.too_many(named_at)
                break
            table = self.start(start) if depth == 0 else self.table(target, depth, named_at)
            if table is None:
                self.has_failed = True
                continue
            place = target if isinstance(target, Place) else self.session.places[target.span.file]
            document = _Document(place, table, [])
            self.documents[_key(target)] = document
            for used, span in self.used_by(document):
                key = _key(used)
                document.uses.append((span, key))
                if key not in self.seen:
                    self.seen.add(key)
                    waiting.append((used, depth + 1, span))
        if self.spec.path in self.documents:
            self.find_cycles(self.spec.path, [], set())
        return [document.table for document in self.documents.values()]

    def start(self, start: Table | Chosen) -> Table | None:
        if isinstance(start, Table):
            return start
        if self.spec.path.suffix != ".star":
            found = self.session.trees(self.spec, named_at=None, reporter=self.reporter)
            return None if found is None else found.table(SPEC)
        spec = self.session.spec(self.spec, reporter=self.reporter)
        return None if spec is None else spec.experiment(start.name, self.spec.name, self.reporter)

    def table(self, target: _Target, depth: int, named_at: Span | None) -> Table | None:
        priority = Priority(RECIPE.level, depth)
        if isinstance(target, Fragment):
            return restated_table(target, priority)
        found = self.session.trees(target, named_at=named_at, reporter=self.reporter)
        return None if found is None else found.table(priority)

    def used_by(self, document: _Document) -> list[tuple[_Target, Span]]:
        used = document.table.get("use")
        if used is None:
            return []
        targets: list[tuple[_Target, Span]] = []
        for item in used.items if isinstance(used, List) else (used,):
            if item is used:
                self.malformed_use(item)
                continue
            target = item if isinstance(item, Fragment) else self.file(item, document.place)
            if target is not None:
                targets.append((target, item.span))
            else:
                self.has_failed = True
        return targets

    def file(self, item: Node, named_in: Place) -> Place | None:
        if not isinstance(item, Leaf) or not isinstance(item.value, str) or not item.value.isprintable():
            self.malformed_use(item)
            return None
        named_in = self.session.places.get(item.span.file, named_in)
        if item.value.startswith("//") or is_further(item.value):
            stdlib = self.session.stdlib
            return find_label(
                item.value, item.span, kind="recipes", stdlib=stdlib, named_in=named_in, reporter=self.reporter
            )
        if not item.value.endswith((".toml", ".star")):
            self.malformed_use(item, is_element=True)
            return None
        return find_file(item.value, item.span, named_in=named_in, reporter=self.reporter)

    def with_model(self, layers: Sequence[Table]) -> list[Table]:
        """The layers with the facts of one model: that which the strongest `model.name` asks for."""
        facts = [table for table in layers if isinstance(table, Facts)]
        others = self.with_teacher([table for table in layers if not isinstance(table, Facts)])
        names = [node for table in others if (node := node_at(table, "model", "name")) is not None]
        name = max(names, key=lambda node: node.priority.strength, default=None)
        if not isinstance(name, Leaf) or not isinstance(name.value, str) or name.value in _NOT_MODELS:
            return [*others, *(_without_name(table) for table in facts)]
        of_it = [table for table in facts if isinstance(it := table.get("name"), Leaf) and it.value == name.value]
        if of_it:
            return [*others, *(_without_name(table) for table in of_it)]
        model = self.model(name.value, name)
        return others if model is None else [*others, model]

    def with_teacher(self, layers: list[Table]) -> list[Table]:
        """The layers with the facts of the teacher that the strongest `teacher.name` asks for."""
        names = [node for table in layers if (node := node_at(table, "teacher", "name")) is not None]
        name = max(names, key=lambda node: node.priority.strength, default=None)
        if not isinstance(name, Leaf) or not isinstance(name.value, str) or name.value in _NOT_MODELS:
            return layers
        model = self.model(name.value, name)
        facts = None if model is None else model.entries.get("model")
        return layers if model is None or facts is None else [*layers, model._replace(entries={"teacher": facts})]

    def model(self, label: str, name: Leaf) -> Table | None:
        stdlib, roots = self.session.stdlib, self.spec.roots
        found = find_model(label, name.span, stdlib=stdlib, roots=roots, reporter=self.reporter)
        if found is not None:
            place, symbol = found
            trees = self.session.trees(place, named_at=name.span, reporter=self.reporter, symbol=symbol)
            table = None if trees is None else trees.table(Priority(RECIPE.level, name.priority.depth + 1))
            if isinstance(table, Facts):
                return _without_name(table)
            if table is not None and holds_one_model(table, place, self.reporter):
                return table
        self.has_failed = True
        return None

    def find_cycles(self, key: _Key, chain: list[tuple[_Key, Span]], done: set[_Key]) -> None:
        """Walk the graph depth first; an edge back into the chain closes a cycle."""
        done.add(key)
        on_the_way = [self.spec.path, *(target for target, _ in chain)]
        for span, target in self.documents[key].uses:
            if target in on_the_way:
                start = on_the_way.index(target)
                self.cycle([*chain[start:], (target, span)])
            elif target in self.documents and target not in done:
                self.find_cycles(target, [*chain, (target, span)], done)

    def cycle(self, edges: Sequence[tuple[_Key, Span]]) -> None:
        self.has_failed = True
        # A fragment stands in the file that makes it: what it uses, that file uses.
        edges = [edge for edge in edges if not isinstance(edge[0], int)]
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

    def malformed_use(self, node: Node, *, is_element: bool = False) -> None:
        self.has_failed = True
        text, example, meant = "", '["//recipes:NAME", "base.toml"]', ""
        if isinstance(node, Leaf) and isinstance(node.value, str):
            text = node.value.removeprefix("//recipes:")
        recipes = self.session.stdlib / "recipes"
        if text.isidentifier() and any(os.path.isfile(recipes / f"{text}{end}") for end in (".toml", ".star")):
            example = meant = f'["//recipes:{text}"]'
        elif text.endswith((".toml", ".star")) and text.isprintable():
            example = meant = f'["{text}"]'
        what = "expected a label //recipes:NAME, or a path that ends in .toml or .star"
        advice = Help(f"write use = {example}", replaced=meant)
        message = "`use` is a list of labels and paths"
        if is_element and text:
            message = f"`{text}` is neither a label nor the path of a file"
            advice = Help(f"write {example[1:-1]}", replaced=meant[1:-1])
        self.reporter.add(Diagnostic("RLC0015", message, (Label(node.span, what, True),), (advice,)))


def holds_one_model(table: Table, place: Place, reporter: Reporter) -> bool:
    """Whether a file holds a model and nothing else; reports RLC0013 where not."""
    others = [Label(e.key_span, "not part of a model") for key, e in table.entries.items() if key != "model"]
    model = table.entries.get("model")
    if model is not None and not isinstance(model.node, Table):
        others.append(Label(model.node.span, "not a table"))
    if model is None or others:
        labels = tuple(label._replace(is_primary=i == 0) for i, label in enumerate(others))
        message = f"{place.name} must hold the table [model] and nothing else"
        reporter.add(Diagnostic("RLC0013", message, labels))
        return False
    return True


def _key(target: _Target) -> _Key:
    """What tells a node of the graph apart: a file by its path, a fragment by being this one."""
    return target.path if isinstance(target, Place) else id(target.entries)


def _without_name(facts: Table) -> Table:
    model = facts.entries.get("model")
    entries = {} if model is None else {"model": model}
    return Table(entries, facts.span, facts.priority, facts.shadowed, facts.calls)
