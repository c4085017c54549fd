"""The recipes that a spec can name: what each is for, and the parameters of those that take some.

Texts are read and not run, so that listing them is quick and cannot fail for what one of them does.
"""

from __future__ import annotations

from pathlib import Path

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.frontend.loader import load
from compiler.frontend.roots import Place, Root, find_label
from compiler.frontend.session import Session
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.value import Leaf, node_at
from compiler.ir.catalogue import Catalogue
from rlc.library import label_called, labels_of, place_here, span_of


class Recipe(NamedTuple):
    """A recipe: how a spec names it, its file, its first line, and each parameter with its default as written."""

    label: str
    path: Path
    summary: str
    parameters: tuple[tuple[str, str], ...]
    text: str


def read_recipes(catalogue: Catalogue, roots: tuple[Root, ...] = ()) -> tuple[Recipe, ...]:
    """Return all recipes by label.  Raises: SpecError for a broken one."""
    return tuple(_read(label, catalogue, roots) for label in labels_of("recipes", catalogue, roots))


def read_recipe(name: str, catalogue: Catalogue, roots: tuple[Root, ...] = ()) -> Recipe:
    """Return a recipe by its name or its label.  Raises: SpecError RLC0031 if there is none."""
    return _read(label_called(name, "recipes", catalogue, roots), catalogue, roots)


def algorithm_of(label: str, catalogue: Catalogue) -> str:
    """Return the algorithm that a recipe, or one that it uses, chooses; empty if none does.

    Raises: SpecError for a broken recipe.
    """
    reporter = Reporter()
    session = Session(catalogue.stdlib, catalogue.cache)
    file = Path("recipe.toml")
    place = session.place(file, reporter)
    assert place is not None, "the working directory has a path"
    session.hold(place, SourceFile(place.name, f'use = ["{label}"]\n'))
    loaded = load(file, (), session, reporter)
    reporter.raise_errors()
    node = None if loaded is None else node_at(loaded.value, "algo", "name")
    return str(node.value) if isinstance(node, Leaf) else ""


def _read(label: str, catalogue: Catalogue, roots: tuple[Root, ...]) -> Recipe:
    place, name = _place(label, catalogue, roots), label.rpartition(":")[2]
    text = place.path.read_text(encoding="utf-8")
    if place.path.suffix == ".toml":
        first = text.partition("\n")[0]
        return Recipe(label, place.path, first.lstrip("# ") if first.startswith("#") else "", (), text)
    tree = parse_file(SourceFile(place.name, text), catalogue.cache)
    return Recipe(label, place.path, _docstring(tree).partition("\n")[0], _parameters(tree, name, text), text)


def _place(label: str, catalogue: Catalogue, roots: tuple[Root, ...]) -> Place:
    """Where a recipe that exists is.  Raises: SpecError if two files have its name."""
    reporter = Reporter()
    here = place_here(catalogue, roots)
    place = find_label(label, span_of(label), kind="recipes", stdlib=catalogue.stdlib, named_in=here, reporter=reporter)
    reporter.raise_errors()
    assert place is not None, "there is a place or an error"
    return place


def _docstring(tree: Node) -> str:
    first = tree[3] if len(tree) > 3 else None
    if first is None or first[0] != "expr_stmt" or first[3][0] != "string":
        return ""
    return str(first[3][3]).strip()


def _parameters(tree: Node, name: str, text: str) -> tuple[tuple[str, str], ...]:
    for node in tree[3:]:
        if node[0] == "def" and node[3][3] == name:
            given = [p for p in node[4][3:] if p[0] == "param"]
            return tuple((p[3][3], "" if p[4] is None else text[p[4][1] : p[4][2]]) for p in given)
    return ()
