"""Facts of a library model that an experiment changes: each needs its reason, and each reason its change.

What a model of the library does not write has the schema's default, which is a fact like any other.  A fresh network
has no checkpoint that a fact could contradict: with random weights nothing needs a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, alternatives
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span
from compiler.frontend.value import OVERRIDE, RECIPE, SPEC, Leaf, List, Node, Table, node_at, same_value
from compiler.ir.model import Model
from compiler.ir.openness import OFF
from compiler.ir.record import Field
from compiler.ir.subject import toml_literal
from compiler.lowering.reader import Reader
from compiler.lowering.scalars import Unreadable, read_scalar

_LIBRARY = "//models/"
_WRITTEN = (SPEC.level, OVERRIDE.level)
# What an experiment decides, and no checkpoint.
_FREE = frozenset(("name", "hf", "weights", "hf_id", "tokenizer", "init_std", "overrides"))


class _Change(NamedTuple):
    """A fact that the library gives one way and the experiment another."""

    path: str
    written: Node
    given: Node


def is_library(node: Node) -> bool:
    """Whether a node is written in a model file of the standard library."""
    return node.span.file.name.startswith(_LIBRARY)


def library_model(model: Table) -> Leaf | None:
    """Return the name of the library's model that [model] is of, or None."""
    name = model.get("name")
    is_label = isinstance(name, Leaf) and isinstance(name.value, str) and name.value.startswith("//models:")
    return name if is_label and isinstance(name, Leaf) else None


def field_of(path: str) -> Field:
    """Return the field of a fact; one of a table by its dotted path."""
    name, _, key = path.partition(".")
    field = Model.fields()[name]
    return field.kind.records[0].fields()[key] if key else field


def meaning(path: str, leaf: Leaf) -> object:
    """Return what is written of a fact, so that `"40Ki"` is 40960; None where it cannot be read."""
    field = field_of(path)
    if leaf.value == "off" and field.kind.may_be_off:
        return OFF
    values = (read_scalar(field, atom, leaf) for atom in field.kind.values if atom.record is None)
    return next((value for value in values if not isinstance(value, Unreadable)), None)


def check_overrides(value: Table, reader: Reader) -> None:
    """Report RLC0230 (a changed fact without a reason) and RLC0231 (a reason for what is not changed)."""
    model = value.get("model")
    if not isinstance(model, Table):
        return
    name = library_model(model)
    changes = {
        change.path: change for change in _changes(model, "", name) if change.path.partition(".")[0] not in _FREE
    }
    reasons = dict(_reasons(model))
    weights = model.get("weights")
    is_fresh = isinstance(weights, Leaf) and weights.value == "random"
    for path, change in changes.items():
        if path not in reasons and not is_fresh and name is not None:
            reader.report(f"model.{path}", _without_reason(change, name))
    for path, at in reasons.items():
        if path not in changes:
            reader.report("model.overrides", _without_change(path, at, model, sorted(changes)))


def _changes(table: Table, prefix: str, name: Leaf | None) -> Iterator[_Change]:
    for key, entry in table.entries.items():
        path, node = f"{prefix}{key}", entry.node
        if isinstance(node, Table) and not node.shadowed:
            if name is None or any(map(is_library, _leaves(node))):
                yield from _changes(node, f"{path}.", name)
            elif node.priority.level in _WRITTEN and (default := _default(path, name)) is not None:
                yield _Change(path, node, default)
            continue
        # What --shrink says stands above both.
        written = next((n for n in (node, *node.shadowed) if n.priority.level in _WRITTEN), None)
        given = next((lost for lost in node.shadowed if is_library(lost)), None)
        if written is not None and given is None and name is not None and not is_library(written):
            given = _default(path, name)
        if written is not None and given is not None and not _is_same(path, written, given):
            yield _Change(path, written, given)


def _leaves(node: Node) -> Iterator[Node]:
    """What a table holds, and what lost against it."""
    yield from (node, *node.shadowed)
    for entry in node.entries.values() if isinstance(node, Table) else ():
        yield from _leaves(entry.node)


def _default(path: str, name: Leaf) -> Leaf | None:
    """What the schema gives a fact of which the library's model says nothing; it stands where that is named."""
    first, _, key = path.partition(".")
    if first in _FREE or first not in Model.fields() or "." in key:
        return None
    records = Model.fields()[first].kind.records
    if key and (not records or key not in records[0].fields()):
        return None
    default = field_of(path).default
    if default is OFF:
        return Leaf("off", name.span, RECIPE)
    return Leaf(default, name.span, RECIPE) if isinstance(default, (bool, int, float, str)) else None


def _is_same(path: str, written: Node, given: Node) -> bool:
    if isinstance(written, Leaf) and isinstance(given, Leaf) and path.partition(".")[0] in Model.fields():
        said, fact = meaning(path, written), meaning(path, given)
        return said is None or said == fact  # what cannot be read is said elsewhere
    return same_value(written, given)


def _reasons(model: Table) -> Iterator[tuple[str, Span]]:
    node = model.get("overrides")
    for item in node.items if isinstance(node, List) else ():
        fact = item.get("fact") if isinstance(item, Table) else None
        if isinstance(fact, Leaf) and isinstance(fact.value, str):
            yield fact.value.removeprefix("model."), fact.span


def _without_reason(change: _Change, name: Leaf) -> Diagnostic:
    given = change.given
    said = f"what {name.value} has"
    if given.span == name.span and isinstance(given, Leaf):
        said = f"leaves it at {given.value if isinstance(given.value, str) else toml_literal(given.value)}"
    labels = (
        Label(given.span, said),
        Label(change.written.span, "changed, and nobody says why", True),
    )
    what = f"[model.{change.path}]" if isinstance(change.written, Table) else f"model.{change.path}"
    row = f'{{ fact = {toml_literal(change.path)}, why = "..." }}'
    helps = (
        Help(f"delete {what}: the library knows it", unsets=(f"model.{change.path}",)),
        Help(f"or say why: model.overrides = [{row}]"),
    )
    return Diagnostic("RLC0230", f"model.{change.path} is another one than that of {name.value}", labels, helps)


def _without_change(path: str, at: Span, model: Table, changed: list[str]) -> Diagnostic:
    first, *rest = path.split(".")
    fields = Model.fields()
    is_fact = first in fields and first not in _FREE
    known = node_at(model, first, *rest)
    near = nearest_names(path, changed or [name for name in fields if name not in _FREE])
    text = "this fact is as the library has it" if is_fact else "no fact of this name"
    labels = [Label(at, text, True)]
    if is_fact and known is not None and is_library(known):
        labels.insert(0, Label(known.span, "the only place that says it"))
    meant = [name for name in near if name != path]
    ways = [Help(f'did you mean "{n}"?', replaced=f'"{n}"' if len(meant) == 1 else "") for n in meant]
    helps = alternatives(*ways, Help("delete the reason"))
    return Diagnostic(
        "RLC0231", f"model.overrides gives a reason for {path}, which nothing changes", tuple(labels), helps
    )
