"""Reads tables of a Value into schema records, and remembers which keys were read.

A field that cannot be read is reported and gets a stand-in that fits its type, so that the rest of the spec is still
checked; statements of rules about such fields are dropped (`broken`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.value import OVERRIDE, RECIPE, Entry, Leaf, List, Node, Table
from compiler.ir.kinds import Atom
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.provenance import Origin, OriginKind, Provenance
from compiler.ir.record import MISSING, Field, Record
from compiler.ir.subject import WrittenValue
from compiler.lowering.scalars import Unreadable, describe, out_of_bounds, read_scalar, stand_in

Choice = Mapping[str, "type[Record] | None"]
PathResolver = Callable[[Leaf], "str | Diagnostic"]
KeyId = tuple[int, int]


def key_id(span: Span) -> KeyId:
    """Return what identifies a key within one compilation."""
    return id(span.file), span.start


class Reader:
    """Reads records; collects origins, written values, keys that were read, and fields that are broken."""

    def __init__(self, reporter: Reporter, origins: Provenance, resolve_path: PathResolver) -> None:
        self.reporter = reporter
        self.origins = origins
        self.resolve_path = resolve_path
        self.read: set[KeyId] = set()
        self.idle: dict[KeyId, str] = {}
        self.broken: set[str] = set()
        self.written: list[WrittenValue] = []

    def record(self, cls: type[Record], table: Table, path: str, choice: Choice) -> Record:
        """Return the record that a table describes.

        Args:
            path: where the record stands in the experiment, "" for the root.
            choice: for a field of several record types, which one; None for "there is none here".
        """
        values: dict[str, object] = {}
        fields = cls.fields()
        for conditional in (False, True):
            for name, field in fields.items():
                if (field.read_if is not None) is conditional:
                    inner = path if field.spread else f"{path}.{name}".lstrip(".")
                    entry = table.entries.get(name)
                    if field.read_if and values[field.read_if[0]] not in field.read_if[1]:
                        self._leave(field, entry, path)
                        values[name] = self._unset(field, table, inner)
                    else:
                        values[name] = self._field(field, table, inner, choice)
        return cls(**values)

    def consume(self, entry: Entry) -> None:
        """Count a key as read."""
        self.read.add(key_id(entry.key_span))

    def report(self, path: str, diagnostic: Diagnostic) -> None:
        """Report a fault of one field."""
        self.broken.add(path)
        self.reporter.add(diagnostic._replace(paths=(*diagnostic.paths, path)))

    def _leave(self, field: Field, entry: Entry | None, path: str) -> None:
        if entry is None or field.read_if is None:
            return
        sibling, values = field.read_if
        table = path.partition(".")[2].partition(".")[2] if path.startswith("stages.") else path
        shown = " or ".join(f'"{v}"' if isinstance(v, str) else str(v).lower() for v in values)
        self.idle[key_id(entry.key_span)] = f"where {table + '.' if table else ''}{sibling} = {shown}"

    def _field(self, field: Field, table: Table, path: str, choice: Choice) -> object:
        if field.is_derived:
            return AUTO
        records = field.kind.records
        if field.spread:
            chosen = choice.get(field.name) or records[0]
            return self.record(chosen, table, path, choice)
        entry = table.entries.get(field.name)
        if field.name in choice and choice[field.name] is None:
            self.origins.record(path, Origin("default"))
            return OFF
        if records and not (entry is not None and isinstance(entry.node, Leaf)):
            if entry is None and field.kind.may_be_off and field.name not in choice:
                return self._unset(field, table, path)
            return self._table(field, entry, table, path, choice)
        if entry is None:
            return self._unset(field, table, path)
        self.consume(entry)
        return self._written(field, entry, path)

    def _table(self, field: Field, entry: Entry | None, table: Table, path: str, choice: Choice) -> object:
        cls = choice.get(field.name) or field.kind.records[0]
        if entry is None:
            return self.record(cls, Table({}, table.span, RECIPE), path, {})
        if isinstance(entry.node, Table):
            self.consume(entry)
            return self.record(cls, entry.node, path, {})
        self.consume(entry)
        self.report(
            path,
            Diagnostic("RLC0203", f"{field.name} is a table", (Label(entry.node.span, "a list stands here", True),)),
        )
        return self.record(cls, Table({}, entry.node.span, RECIPE), path, {})

    def _unset(self, field: Field, table: Table, path: str) -> object:
        self.origins.record(path, Origin("default"))
        if field.default is not MISSING:
            return field.default
        if field.kind.may_be_auto:
            return AUTO
        self.report(path, missing(field, table, path))
        return stand_in(field)

    def _written(self, field: Field, entry: Entry, path: str) -> object:
        node = entry.node
        if isinstance(node, Leaf) and node.value == "auto" and not _takes_text(field):
            if field.kind.may_be_auto:
                self._keep_origin(path, entry)
                return AUTO
            self.report(path, _not_open(field, node, "auto"))
            return self._fallback(field)
        if isinstance(node, Leaf) and node.value == "off" and not _takes_text(field):
            self._keep_origin(path, entry)
            if field.kind.may_be_off:
                self._keep_written(path, node, OFF)
                return OFF
            if field.default is not MISSING:
                return field.default
            self.report(path, _not_open(field, node, "off"))
            return self._fallback(field)
        value = self._value(field, node, path)
        if isinstance(value, Unreadable):
            self.report(path, value.diagnostic)
            return self._fallback(field)
        bound = out_of_bounds(field, value)
        if bound is not None:
            self.report(path, bound.at(node.span, path))
            return self._fallback(field)
        self._keep_origin(path, entry)
        self._keep_written(path, node, value)
        return value

    def _value(self, field: Field, node: Node, path: str) -> object:
        first: Unreadable | None = None
        for atom in field.kind.values:
            value = self._atom(field, atom, node, path)
            if not isinstance(value, Unreadable):
                return value
            if first is None or value.is_closer:
                first = value
        return first or describe(field, node)

    def _atom(self, field: Field, atom: Atom, node: Node, path: str) -> object:
        if atom.name == "list" and atom.item is not None:
            return self._list(field, atom.item, node, path)
        if atom.record is not None or not isinstance(node, Leaf):
            return describe(field, node)
        if atom.name == "SpecPath" and isinstance(node.value, str):
            resolved = self.resolve_path(node)
            return resolved if isinstance(resolved, str) else Unreadable(resolved, is_closer=True)
        return read_scalar(field, atom, node)

    def _list(self, field: Field, item: Atom, node: Node, path: str) -> object:
        if not isinstance(node, List):
            return describe(field, node)
        values: list[object] = []
        for index, element in enumerate(node.items):
            inner = f"{path}.{index}"
            if item.record is not None:
                if not isinstance(element, Table):
                    return describe(field, element)
                values.append(self.record(item.record, element, inner, {}))
            elif isinstance(element, Leaf):
                value = read_scalar(field, item, element)
                if isinstance(value, Unreadable):
                    return value
                values.append(value)
            else:
                return describe(field, element)
        if item.record is not None and not values:
            fault = Diagnostic("RLC0204", f"{field.name} is empty", (Label(node.span, "at least one", True),))
            return Unreadable(fault, is_closer=True)
        return tuple(values)

    def _fallback(self, field: Field) -> object:
        if field.default is not MISSING:
            return field.default
        return AUTO if field.kind.may_be_auto else stand_in(field)

    def _keep_written(self, path: str, node: Node, value: object) -> None:
        if origin_kind(node) in ("spec", "override") and not isinstance(value, Auto):
            self.written.append(WrittenValue(path, value))

    def _keep_origin(self, path: str, entry: Entry) -> None:
        self.origins.record(path, origin_of(entry))


def origin_kind(node: Node) -> OriginKind:
    """Return the kind of origin that a node's priority stands for."""
    if node.priority.level == OVERRIDE.level:
        return "override"
    return "recipe" if node.priority.level == RECIPE.level else "spec"


def origin_of(entry: Entry) -> Origin:
    """Return the origin of a written value, with what lost against it."""
    node = entry.node
    shadowed = tuple(Origin(origin_kind(lost), span=lost.span) for lost in node.shadowed)
    return Origin(origin_kind(node), span=node.span, key=entry.key_span, shadowed=shadowed)


def missing(field: Field, table: Table, path: str) -> Diagnostic:
    """Return the fault of a required field that nobody sets."""
    labels = (Label(table.span, f"{field.name} is missing here", True),) if table.span.file.text else ()
    unit = f", in {field.unit}" if field.unit else ""
    return Diagnostic("RLC0205", f"{path} is required", labels, (Help(f"{field.name}: {field.doc}{unit}"),))


def _takes_text(field: Field) -> bool:
    plain = any(a.name == "str" for a in field.kind.values)
    return plain and not field.kind.may_be_auto and not field.kind.may_be_off


def _not_open(field: Field, node: Leaf, word: str) -> Diagnostic:
    meaning = "derived" if word == "auto" else "switched off"
    label = Label(node.span, f"cannot be {meaning}", True)
    return Diagnostic("RLC0207", f'{field.name} cannot be "{word}"', (label,), (Help(f"{field.name}: {field.doc}"),))
