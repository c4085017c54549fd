"""Keys that were written and that nothing read, with what would have read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.nearest import nearest_names
from compiler.frontend.value import Entry, List, Table
from compiler.ir.catalogue import Catalogue
from compiler.ir.provenance import Provenance
from compiler.ir.subject import UnreadKey
from compiler.lowering.reader import Reader, key_id, origin_kind

if TYPE_CHECKING:
    from compiler.ir.spec_tables import Key

    Known = Mapping[str, Key]

_AT_THE_TOP = ("at the top of the spec",)
_USE, _STAGES, _VERSION = "use", "stages", "rlc"


def find_unread(
    root: Table, own_tables: Sequence[Table], reader: Reader, catalogue: Catalogue
) -> tuple[UnreadKey, ...]:
    """Return unread keys of the root and of each stage, in the order in which they were written.

    The keys of all algorithms are only looked at where something is unread.
    """
    root = root._replace(entries={key: entry for key, entry in root.entries.items() if key != _STAGES})
    tables = (root, *own_tables)
    if not any(_unread(table, "", reader, None) for table in tables):
        return ()
    from compiler.ir.spec_tables import spec_keys

    known = spec_keys(catalogue)
    loose = [found for table in tables for found in _unread(table, "", reader, known)]
    return tuple(_classified(path, entry, known, reader) for path, entry in loose)


def misspelt_fields(unread: Sequence[UnreadKey], origins: Provenance) -> set[str]:
    """Return the paths of fields that nobody wrote, and whose names are probably misspelt: what they hold is not meant.

    In a list of stages a key of a shared table may be meant for each.
    """
    unknown = [key for key in unread if key.why == "unknown"]
    found: set[str] = set()
    for key in unknown:
        table, _, name = key.path.rpartition(".")
        for near in nearest_names(name, key.siblings, most=1):
            path = f"{table}.{near}".lstrip(".")
            found.update(
                p
                for p, origin in origins.items()
                if (p == path or (p.startswith("stages.") and p.split(".", 2)[2:] == [path])) and origin.span is None
            )
    return found


def _unread(table: Table, prefix: str, reader: Reader, known: Known | None) -> list[tuple[str, Entry]]:
    """Return unread keys; below a table that no schema knows only the table itself."""
    found: list[tuple[str, Entry]] = []
    for key, entry in table.entries.items():
        path = f"{prefix}.{key}".lstrip(".")
        node, identity = entry.node, key_id(entry.key_span)
        if path == _USE:
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
    key = known.get(path)
    if path == _STAGES:
        return UnreadKey(path, entry.key_span, "misplaced", origin, _AT_THE_TOP)
    if key is None:
        writable = tuple(p for p, k in known.items() if not k.is_derived)
        table = path.rpartition(".")[0]
        siblings = tuple(known[p].name for p in writable if p.rpartition(".")[0] == table)
        siblings += () if table else (_STAGES, _USE)
        # Too many for a near miss; a setting of an engine is found elsewhere by its very name.
        name = path.rpartition(".")[2]
        elsewhere = tuple(p for p in writable if not known[p].is_of_an_engine or known[p].name == name)
        return UnreadKey(path, entry.key_span, "unknown", origin, (), siblings, elsewhere)
    if key.is_derived:
        return UnreadKey(path, entry.key_span, "derived", origin)
    idle = reader.idle.get(key_id(entry.key_span))
    readers = (idle,) if idle else _said(key.readers)
    # Every file may say which version it is written in, and a stage may use any file.
    why = "inert" if readers or path == _VERSION else "misplaced"
    return UnreadKey(path, entry.key_span, why, origin, readers or _AT_THE_TOP)


def _said(readers: tuple[str, ...]) -> tuple[str, ...]:
    """Return who reads a key, those of one kind together: `by the algorithms cispo, grpo`."""
    kinds: dict[str, list[str]] = {}
    for reader in readers:
        kind, _, name = reader.partition(" ")
        kinds.setdefault(kind, []).append(name)
    return tuple(
        f"by the {kind}s {', '.join(names)}" if len(names) > 1 else f"by {kind} {names[0]}".rstrip()
        for kind, names in kinds.items()
    )
