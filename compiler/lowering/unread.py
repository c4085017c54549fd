"""Keys that were written and that nothing read, with what would have read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compiler.frontend.value import Entry, List, Table
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.record import Field, Record
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.subject import UnreadKey
from compiler.ir.training import PolicyTrain, Train
from compiler.lowering.reader import Reader, key_id, origin_kind

_NOT_KEYS = ("stages", "use")


class KnownField(NamedTuple):
    """A path that some component of some experiment reads, and which one."""

    reader: str
    field: Field


Known = dict[str, list[KnownField]]


def find_unread(
    root: Table, own_tables: Sequence[Table], reader: Reader, catalogue: Catalogue
) -> tuple[UnreadKey, ...]:
    """Return unread keys of the root and of each stage, in the order in which they were written.

    The schema of all algorithms is only looked at where something is unread.
    """
    tables = (root, *own_tables)
    if not any(_unread(table, "", reader, None) for table in tables):
        return ()
    known = known_fields(catalogue)
    loose = [found for table in tables for found in _unread(table, "", reader, known)]
    return tuple(_classified(path, entry, known, reader) for path, entry in loose)


def known_fields(catalogue: Catalogue) -> Known:
    """Return every path that a spec may hold, as written there, with what reads it."""
    known: Known = {}

    def add(cls: type[Record], prefix: str, by: str) -> None:
        for name, field in cls.fields().items():
            path = prefix if field.spread else f"{prefix}.{name}".lstrip(".")
            if not field.spread:
                known.setdefault(path, []).append(KnownField(by, field))
            inner = [r for r in field.kind.records if name not in ("stages", "algorithm")]
            inner += [a.item.record for a in field.kind.atoms if a.item and a.item.record and name != "stages"]
            if prefix == "" and name in ("rollout", "reward", "train") and cls is Stage:
                continue
            for record in dict.fromkeys(inner):
                add(record, path, by)

    add(Experiment, "", "")
    add(Stage, "", "")
    for cls, table, by in (
        (Generation, "rollout", "by stages that sample, or evaluate"),
        (Rollout, "rollout", "by stages that sample"),
        (Reward, "reward", "by stages that sample, or evaluate"),
        (Train, "train", ""),
        (PolicyTrain, "train", "by stages that sample"),
    ):
        add(cls, table, by)
    for name in catalogue.algorithms:
        add(catalogue.load_algorithm(name).params, "", f"by algorithm {name}")
    return known


def _unread(table: Table, prefix: str, reader: Reader, known: Known | None) -> list[tuple[str, Entry]]:
    """Return unread keys; below a table that no schema knows only the table itself."""
    found: list[tuple[str, Entry]] = []
    for key, entry in table.entries.items():
        path = f"{prefix}.{key}".lstrip(".")
        node, identity = entry.node, key_id(entry.key_span)
        if path in _NOT_KEYS:
            continue
        if known is not None and path not in known:
            found.append((path, entry))
        elif isinstance(node, Table) and identity not in reader.idle:
            found += _unread(node, path, reader, known)
        elif identity not in reader.read or identity in reader.idle:
            found.append((path, entry))
        elif isinstance(node, List):
            for item in node.items:
                if isinstance(item, Table):
                    found += _unread(item, path, reader, known)
    return found


def _classified(path: str, entry: Entry, known: Known, reader: Reader) -> UnreadKey:
    origin = origin_kind(entry.node)
    if path not in known:
        siblings = _children(known, path.rpartition(".")[0])
        return UnreadKey(path, entry.key_span, "unknown", origin, (), siblings, tuple(known))
    fields = known[path]
    if all(k.field.is_derived for k in fields):
        return UnreadKey(path, entry.key_span, "derived", origin)
    idle = reader.idle.get(key_id(entry.key_span))
    readers = (idle,) if idle else tuple(dict.fromkeys(k.reader for k in fields if k.reader))
    return UnreadKey(path, entry.key_span, "inert", origin, readers or ("at the top of the spec",))


def _children(known: Known, table: str) -> tuple[str, ...]:
    prefix = f"{table}." if table else ""
    return tuple(
        path[len(prefix) :]
        for path, fields in known.items()
        if path.startswith(prefix) and "." not in path[len(prefix) :] and not all(f.field.is_derived for f in fields)
    )
