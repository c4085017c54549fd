"""Settings that a spec hands to an engine by the engine's own names, checked against what the pinned engine takes.

Read after everything else: which engine a stage has decides which of these tables is read at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.frontend.value import Entry, Leaf, Node, Table, node_at
from compiler.ir.experiment import Stage
from compiler.ir.openness import AUTO, OFF, Auto
from compiler.ir.options import Options, given
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import Origin
from compiler.ir.record import Record
from compiler.lowering.reader import Reader, key_id

if TYPE_CHECKING:
    from compiler.ir.catalogue import Catalogue, TargetEntry
    from compiler.ir.options import EngineSchema

_ROLES = ("rollout", "train")
_COUNTS = ("placement", "parallel")


class EngineOptions:
    """Reads these tables for one stage after another; `target` is None where it is not known, and so no engine is."""

    def __init__(self, reader: Reader, catalogue: Catalogue, target: TargetEntry | None) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._target = target
        self._read: set[int] = set()

    def stage(self, stage: Stage[Auto], table: Table, path: str) -> Stage[Auto]:
        """Return a stage with what it hands to its engines; a table that no stage's engine takes stays unread."""
        for role, name, entry in _tables(stage, table):
            inner, identity = f"{role}.engine.{name}", key_id(entry.key_span)
            if self._target is None:
                self._reader.pass_over(entry.node)
                continue
            version = self._target.version_of(name)
            if version is None or name != _engine(stage, role, self._target):
                stage = self._nothing(stage, path, inner)
                if identity not in self._read:
                    self._reader.idle[identity] = f'where {role}.engine.name = "{name}"'
                continue
            self._read.add(identity)
            self._reader.idle.pop(identity, None)
            schema = self._catalogue.load_engine(f"{name}-{version}")
            options = self._options(entry.node, f"{path}.{inner}", schema)
            stage = replaced(stage, inner, options) if options.fields() else self._nothing(stage, path, inner)
        return stage

    def _nothing(self, stage: Stage[Auto], path: str, inner: str) -> Stage[Auto]:
        self._reader.origins.record(f"{path}.{inner}", Origin("default"))
        return replaced(stage, inner, OFF)

    def _options(self, node: Node, path: str, schema: EngineSchema) -> Options:
        fields, reader = schema.options.fields(), self._reader
        values: dict[str, object] = {}
        for key, entry in node.entries.items() if isinstance(node, Table) else ():
            field = fields.get(key)
            if field is None:
                continue  # said as every unknown key is
            reader.consume(entry)
            if field.is_derived:
                reader.report(
                    f"{path}.{key}", _decided(schema, key, entry, reader.shown(f"{path}.{key}", entry.key_span))
                )
                reader.pass_over(entry.node)
                continue
            value = reader.value(field, entry, f"{path}.{key}")
            if value is not OFF and value is not AUTO:  # what is to be chosen has an origin, and no value yet
                values[key] = value
        return given(values)


def _tables(stage: Stage[Auto], table: Table) -> Iterator[tuple[str, str, Entry]]:
    """The tables of engines that a stage is given, each with its role and the engine."""
    for role in _ROLES:
        holder, node = getattr(stage, role), node_at(table, role, "engine")
        engine = read(holder, "engine") if isinstance(holder, Record) else None
        if not isinstance(engine, Record) or not isinstance(node, Table):
            continue
        for name, field in type(engine).fields().items():
            entry = node.entries.get(name)
            if Options in field.kind.records and entry is not None and isinstance(entry.node, Table):
                yield role, name, entry


def _engine(stage: Stage[Auto], role: str, target: TargetEntry) -> object:
    """The engine of a role; one that nobody names is the target's first."""
    name = read(stage, f"{role}.engine.name")
    engines = target.rollout_engines if role == "rollout" else target.train_engines
    return name if isinstance(name, str) else engines[0]


def _decided(schema: EngineSchema, key: str, entry: Entry, shown: str) -> Diagnostic:
    field = schema.decided[key]
    value = entry.node.value if isinstance(entry.node, Leaf) else None
    is_count = type(value) is int and field.partition(".")[0] in _COUNTS
    way = Help(f"leave it out, and see {field}", removes=True)
    if is_count:
        way = Help(f"write {field} = {value} instead", ((field, str(value)),), unsets=(shown,))
    return Diagnostic(
        "RLC0519",
        f"{key} of {schema.name} follows from {field}",
        (Label(entry.key_span, "the plan decides it", is_primary=True),),
        (way,),
        rule="CFG-04",
    )
