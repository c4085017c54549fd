"""The recipes of the standard library: what each is for, and the parameters of those that take some.

Texts are read and not run, so that listing them is quick and cannot fail for what one of them does.
"""

from __future__ import annotations

from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.roots import Place, find_label, library_names
from compiler.frontend.session import Session
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.value import RECIPE, Leaf, node_at
from compiler.ir.catalogue import Catalogue


class Recipe(NamedTuple):
    """A recipe: its name, its file, its first line, and each parameter with its default as written."""

    name: str
    path: Path
    summary: str
    parameters: tuple[tuple[str, str], ...]
    text: str

    @property
    def label(self) -> str:
        """How a spec names it."""
        return f"//recipes:{self.name}"


def read_recipes(catalogue: Catalogue) -> tuple[Recipe, ...]:
    """Return all recipes by name.  Raises: SpecError for a broken one."""
    return tuple(read_recipe(name, catalogue) for name in library_names("recipes", catalogue.stdlib))


def read_recipe(name: str, catalogue: Catalogue) -> Recipe:
    """Return a recipe by its name or its label.  Raises: SpecError RLC0031 if there is none."""
    name = name.removeprefix("//recipes:")
    known = library_names("recipes", catalogue.stdlib)
    if name not in known:
        raise no_such_name("recipe", name, known)
    place = recipe_place(name, catalogue)
    text = place.path.read_text(encoding="utf-8")
    if place.path.suffix == ".toml":
        first = text.partition("\n")[0]
        return Recipe(name, place.path, first.lstrip("# ") if first.startswith("#") else "", (), text)
    tree = parse_file(SourceFile(place.name, text), catalogue.cache)
    return Recipe(name, place.path, _docstring(tree).partition("\n")[0], _parameters(tree, name, text), text)


def recipe_place(name: str, catalogue: Catalogue) -> Place:
    """Return where a recipe that exists is.  Raises: SpecError if two files have its name."""
    reporter = Reporter()
    label = f"//recipes:{name}"
    span = Span(SourceFile("", label), 0, len(label))
    place = find_label(label, span, kind="recipes", stdlib=catalogue.stdlib, reporter=reporter)
    reporter.raise_errors()
    assert place is not None, "there is a place or an error"
    return place


def algorithm_of(name: str, catalogue: Catalogue) -> str:
    """Return the algorithm that a recipe chooses.  Raises: SpecError for a broken one."""
    reporter = Reporter()
    session = Session(catalogue.stdlib, catalogue.cache)
    trees = session.trees(recipe_place(name, catalogue), named_at=None, reporter=reporter)
    reporter.raise_errors()
    node = None if trees is None else node_at(trees.table(RECIPE), "algo", "name")
    return str(node.value) if isinstance(node, Leaf) else ""


def no_such_name(kind: str, name: str, known: list[str]) -> SpecError:
    """Return RLC0031 for a name that is not among those there are."""
    near = nearest_names(name, known)
    way = Help(f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}")
    return SpecError(Diagnostic("RLC0031", f"there is no {kind} {name}", help=(way,)))


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
