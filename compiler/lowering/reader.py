"""Reads tables of a Value into schema records, and remembers which keys were read.

A field that cannot be read is reported and gets a stand-in that fits its type, so that the rest of the spec is still
checked; statements of rules about such fields are dropped (`broken`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.value import OVERRIDE, RECIPE, SHRUNK, Entry, Leaf, List, Node, Table
from compiler.ir.kinds import Atom
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.provenance import Origin, OriginKind, Provenance
from compiler.ir.record import MISSING, Field, Record
from compiler.ir.subject import WrittenValue, shown_path
from compiler.lowering.scalars import Unreadable, describe, in_a_sentence, out_of_bounds, read_scalar, stand_in

if TYPE_CHECKING:
    from compiler.lowering.references import Reference

Choice = Mapping[str, "type[Record] | None"]
PathResolver = Callable[[Leaf], "str | Diagnostic"]
KeyId = int
Condition = tuple[str, tuple[object, ...]]


def key_id(span: Span) -> KeyId:
    """Return what identifies a key within one compilation.

    It is this Span and no other: in a .star file one piece of text may write the same key for several tables.
    """
    return id(span)


class Reader:
    """Reads records; collects origins, written values, keys that were read, and fields that are broken."""

    def __init__(self, reporter: Reporter, origins: Provenance, resolve_path: PathResolver) -> None:
        self.reporter = reporter
        self.origins = origins
        self.resolve_path = resolve_path
        self.read: set[KeyId] = set()
        self.idle: dict[KeyId, str] = {}
        self.broken: set[str] = set()
        self.unreadable: set[KeyId] = set()
        self.written: list[WrittenValue] = []
        self.stage_names: tuple[str, ...] | None = None
        self.own: set[KeyId] = set()
        self.references: list[Reference] = []
        # By the beginning of a path: what needs those fields, where the algorithm does not.
        self.needed: dict[str, Label] = {}

    def record(self, cls: type[Record], table: Table, path: str, choice: Choice) -> Record:
        """Return the record that a table describes.

        Args:
            path: where the record stands in the experiment, "" for the root.
            choice: for a field of several record types, which one; None for "there is none here".
        """
        values: dict[str, object] = {}
        left: dict[str, Condition] = {}
        fields = cls.fields()
        waiting = list(fields)
        while waiting:
            # What a field depends on is read before it, in whatever order they are declared.
            ready = [name for name in waiting if (on := fields[name].read_if) is None or on[0] in values]
            for name in ready:
                field = fields[name]
                inner = path if field.spread else f"{path}.{name}".lstrip(".")
                entry = table.entries.get(name)
                condition = _failed(field, values, left)
                if condition:
                    left[name] = condition
                    self._leave(condition, entry, path)
                    values[name] = self._unset(field, table, inner)
                else:
                    values[name] = self._field(field, table, inner, choice)
            waiting = [name for name in waiting if name not in values]
        return cls(**values)

    def consume(self, entry: Entry) -> None:
        """Count a key as read."""
        self.read.add(key_id(entry.key_span))

    def report(self, path: str, diagnostic: Diagnostic) -> None:
        """Report a fault of one field."""
        self.broken.add(path)
        self.reporter.add(diagnostic._replace(paths=(*diagnostic.paths, path)))

    def shown(self, path: str, at: Span) -> str:
        """Return a path as --set takes it: elements by index, stages by name, or not at all if they share the place."""
        names, has_list = self.stage_names or ("",), self.stage_names is not None
        if has_list and path.startswith("stages.") and key_id(at) not in self.own:
            path = path.split(".", 2)[2]
        first, *parts = shown_path(path, names, has_stage_list=has_list).split(".")
        return first + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in parts)

    def enter_stage(self, own: Table) -> None:
        """Count what stands in a stage's own table as its own; other values are shared."""
        self.own.add(key_id(own.span))
        for entry in own.entries.values():
            self.own.update((key_id(entry.key_span), key_id(entry.node.span)))
            if isinstance(entry.node, Table):
                self.enter_stage(entry.node)

    def pass_over(self, node: Node) -> None:
        """Say nothing about keys below a value that could not be read: what they mean follows from that."""
        if isinstance(node, Table):
            for entry in node.entries.values():
                self.unreadable.add(key_id(entry.key_span))
                self.pass_over(entry.node)
        elif isinstance(node, List):
            for item in node.items:
                self.pass_over(item)

    def _leave(self, condition: Condition, entry: Entry | None, path: str) -> None:
        if entry is None:
            return
        sibling, values = condition
        if f"{path}.{sibling}".lstrip(".") in self.broken:
            self.unreadable.add(key_id(entry.key_span))
            return
        table = path.partition(".")[2].partition(".")[2] if path.startswith("stages.") else path
        shown = " or ".join(f'"{v}"' if isinstance(v, str) or v in (AUTO, OFF) else str(v).lower() for v in values)
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
            # A table that is read under a condition, which holds here, is read for its defaults as well.
            if entry is None and field.kind.may_be_off and field.name not in choice and field.read_if is None:
                return self._unset(field, table, path)
            return self._table(field, entry, table, path, choice)
        if entry is None:
            return self._unset(field, table, path)
        self.consume(entry)
        value = self.value(field, entry, path)
        if value is OFF and field.name in choice and isinstance(entry.node, Leaf) and path not in self.broken:
            # The stage's algorithm needs the table.
            self.report(path, self._not_open(field, entry.node, path, "off"))
        if records and path in self.broken:
            return self._hollow(choice.get(field.name) or records[0], entry.node.span, path)
        return value

    def _table(self, field: Field, entry: Entry | None, table: Table, path: str, choice: Choice) -> object:
        cls = choice.get(field.name) or field.kind.records[0]
        if entry is None:
            return self.record(cls, Table({}, table.span, RECIPE), path, {})
        if isinstance(entry.node, Table):
            self.consume(entry)
            return self.record(cls, entry.node, path, {})
        self.consume(entry)
        self.pass_over(entry.node)
        node = entry.node
        label = Label(node.span, "a list stands here", True)
        shown = self.shown(path, node.span)
        is_one = isinstance(node, List) and len(node.items) == 1 and node.span.text == f"[[{shown}]]"
        helps = (Help(f"write [{shown}], in single brackets", replaced=f"[{shown}]" if is_one else ""),)
        self.report(path, Diagnostic("RLC0203", f"{shown} is a table", (label,), helps))
        return self._hollow(cls, entry.node.span, path)

    def _hollow(self, cls: type[Record], at: Span, path: str) -> Record:
        """A record in the place of one that could not be read: nothing is said about its fields."""
        reporter, self.reporter = self.reporter, Reporter()
        record = self.record(cls, Table({}, at, RECIPE), path, {})
        self.reporter = reporter
        self.broken.update(f"{path}.{name}" for name in cls.fields())
        return record

    def _unset(self, field: Field, table: Table, path: str) -> object:
        self.origins.record(path, Origin("default"))
        if field.default is not MISSING:
            return field.default
        if field.kind.may_be_auto:
            return AUTO
        if has_misspelt(table, field.name, field.owner.fields()):
            self.broken.add(path)  # what is said of that key is enough
        elif path not in self.broken:
            needs = next((label for start, label in self.needed.items() if path.startswith(start)), None)
            self.report(path, missing(field, table, self.shown(path, table.span), needs))
        return stand_in(field)

    def value(self, field: Field, entry: Entry, path: str) -> object:
        """Return the value of a field that is written out, or stands for an expression."""
        node = entry.node
        if isinstance(node, Leaf) and isinstance(node.value, str) and "${" in node.value:
            from compiler.lowering.references import read_reference

            return read_reference(self, field, entry, path)
        return self.plain(field, entry, path)

    def plain(self, field: Field, entry: Entry, path: str) -> object:
        """Return the value of a field that is written out; what cannot be read is reported."""
        node = entry.node
        if isinstance(node, Leaf) and node.value == "auto" and not _takes_text(field, "auto"):
            if field.kind.may_be_auto:
                self._keep_origin(path, entry)
                return AUTO
            self.report(path, self._not_open(field, node, path, "auto"))
            return self.fallback(field)
        if isinstance(node, Leaf) and node.value == "off" and not _takes_text(field, "off"):
            self._keep_origin(path, entry)
            if field.kind.may_be_off:
                self._keep_written(path, node, OFF)
                return OFF
            if field.default is not MISSING:
                return field.default
            self.report(path, self._not_open(field, node, path, "off"))
            return self.fallback(field)
        value = self.typed(field, node, path)
        if isinstance(value, Unreadable):
            self.report(path, value.at(self.shown(path, node.span)))
            self.pass_over(node)
            return self.fallback(field)
        bound = out_of_bounds(field, value)
        if bound is not None:
            self.report(path, bound.at(node.span, self.shown(path, node.span)))
            return self.fallback(field)
        self._keep_origin(path, entry)
        self._keep_written(path, node, value)
        return value

    def typed(self, field: Field, node: Node, path: str) -> object:
        """Return what a node is as a value of a field, or an Unreadable; bounds are not looked at."""
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
                    return describe(field, element, item)
                values.append(self.record(item.record, element, inner, {}))
            elif isinstance(element, Leaf):
                if isinstance(element.value, str) and "${" in element.value:
                    from compiler.lowering.references import in_a_list

                    plain = in_a_list(element)
                    if not isinstance(plain, Leaf):
                        return Unreadable(plain, is_closer=True)
                    element = plain
                value = read_scalar(field, item, element)
                if isinstance(value, Unreadable):
                    return value._replace(meant=()) if value.is_closer else describe(field, element, item)
                values.append(value)
            else:
                return describe(field, element, item)
        if item.record is not None and not values:
            label = Label(node.span, "must hold at least one table", True)
            fault = Diagnostic("RLC0204", f"{self.shown(path, node.span)} is empty", (label,))
            return Unreadable(fault, is_closer=True)
        return tuple(values)

    def _not_open(self, field: Field, node: Leaf, path: str, word: str) -> Diagnostic:
        shown = self.shown(path, node.span)
        label = Label(node.span, f"cannot be {'derived' if word == 'auto' else 'switched off'}", True)
        unit = f", in {field.unit}" if field.unit else ""
        wanted = f"the table [{shown}]" if field.kind.records else f"a value{unit}"
        advice = Help(f"write {wanted}: {in_a_sentence(field.doc)}")
        return Diagnostic("RLC0207", f'{shown} cannot be "{word}"', (label,), (advice,))

    def fallback(self, field: Field) -> object:
        """Return what a field holds that could not be read."""
        if field.default is not MISSING:
            return field.default
        return AUTO if field.kind.may_be_auto else stand_in(field)

    def _keep_written(self, path: str, node: Node, value: object) -> None:
        # Of a list of tables each field is kept by itself: others of its fields may be derived.
        is_a_list_of_tables = isinstance(value, tuple) and bool(value) and isinstance(value[0], Record)
        if is_a_list_of_tables:
            return
        if origin_kind(node) in ("spec", "override") and not isinstance(value, Auto):
            self.written.append(WrittenValue(path, value))

    def _keep_origin(self, path: str, entry: Entry) -> None:
        self.origins.record(path, origin_of(entry))


def origin_kind(node: Node) -> OriginKind:
    """Return the kind of origin that a node's priority stands for."""
    if node.priority.level == OVERRIDE.level:
        return "override"
    if node.priority.level == SHRUNK.level:
        return "shrunk"
    return "recipe" if node.priority.level == RECIPE.level else "spec"


def origin_of(entry: Entry) -> Origin:
    """Return the origin of a written value, with what lost against it."""
    node = entry.node
    # By position: this is made for every value of every plan of a sweep.
    return Origin(origin_kind(node), node.span, entry.key_span, "", (), losers(node), node.calls)


def losers(node: Node) -> tuple[Origin, ...]:
    """Return what lost against a node, each with what it had won over itself, as in a stage over the shared tables."""
    if not node.shadowed:
        return ()
    return tuple(
        Origin(origin_kind(lost), span=lost.span, shadowed=losers(lost), calls=lost.calls) for lost in node.shadowed
    )


def _failed(field: Field, values: Mapping[str, object], left: Mapping[str, Condition]) -> Condition | None:
    """Return the condition that leaves a field unread, if one does: its own, or that of the sibling it depends on."""
    if field.read_if is None:
        return None
    sibling, wanted = field.read_if
    return left.get(sibling) or (None if values[sibling] in wanted else field.read_if)


def has_misspelt(table: Table, name: str, names: Collection[str]) -> bool:
    """Whether a table has a key that is none of its names, and probably means this one."""
    return name not in table.entries and any(
        key not in names and nearest_names(key, names, most=1) == [name] for key in table.entries
    )


def missing(field: Field, table: Table, path: str, needs: Label | None = None) -> Diagnostic:
    """Return the fault of a required field that nobody sets, by its path as a person writes it.

    Args:
        needs: what needs the field, where nothing that is written has its table.
    """
    is_whole_spec = table.span.end == 0
    said = f"nothing here says {path}" if is_whole_spec else f"{field.name} is missing here"
    labels = (Label(table.span, said, True),) if table.span.file.text else ()
    labels = (needs,) if needs is not None and is_whole_spec else labels
    unit = f", in {field.unit}" if field.unit else ""
    advice = Help(f"write {path}{unit}: {in_a_sentence(field.doc)}")
    return Diagnostic("RLC0205", f"{path} is required", labels, (advice,))


def _takes_text(field: Field, word: str) -> bool:
    """Whether a field may hold "auto" or "off" as a text of its own, which then does not leave it open or unset it."""
    plain = any(a.name == "str" or word in a.choices for a in field.kind.values)
    return plain and not field.kind.may_be_auto and not field.kind.may_be_off
