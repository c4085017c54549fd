"""Which edits of a spec a way out stands for.

A value that is written is replaced where it stands, a field that is not is written into its table, a misspelt key gets
its name, what is misspelt is replaced by what was meant, and a key that has no effect goes.  Everything else on the
page stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.fixes import starlark, toml
from compiler.fixes.edit import Edit
from compiler.frontend.overrides import parse_override
from compiler.frontend.value import Table

PlaceOf = Callable[[str], Span | None]


def is_applicable(way: Help) -> bool:
    """Whether a way out says what to write, so that a tool can apply it."""
    return bool(way.sets or way.unsets or way.renamed or way.removes or way.replaced)


def edits_of(
    way: Help, found: Diagnostic, source: SourceFile, place_of: PlaceOf, *, cache: Path | None = None
) -> tuple[Edit, ...] | None:
    """Return the edits of a spec's own text that a way out stands for, or None if it cannot be applied there.

    Args:
        source: the text of the spec; places in other texts are not edited.
        place_of: where a field, named as a person writes it, has its value.
        cache: where trees of Starlark are kept.
    """
    syntax = starlark if source.name.endswith(".star") else toml
    if way.renamed or way.removes or way.replaced:
        marked = next((label.span for label in found.labels if label.is_primary), None)
        if marked is None or not _is_of(marked, source):
            return None
        if not way.removes:
            return (Edit(marked.start, marked.end, way.replaced or _as_quoted(way.renamed, marked.text)),)
        edit = syntax.removal(source, marked, cache)
        return None if edit is None else (edit,)
    edits: list[Edit] = []
    for path, literal in (*((path, None) for path in way.unsets), *way.sets):
        place = place_of(path)
        if place is not None and not _is_of(place, source):
            place = None
        keys = keys_of(path)
        if literal is None:
            edit = syntax.unsetting(source, keys, place, cache)
        else:
            edit = None if not keys else syntax.setting(source, keys, literal, place, cache)
        if edit is None:
            return None
        edits.append(edit)
    return _with_one_header_each(edits)


def applied(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with edits that do not overlap; of several at one place the first comes first."""
    found: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        found += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*found, text[at:]])


def keys_of(path: str) -> tuple[str, ...]:
    """Return the keys of a path as `--set` takes it; an index is a key such as `[0]`."""
    node = parse_override(f"{path}=0", Reporter())
    found: list[str] = []
    while isinstance(node, Table):
        ((key, entry),) = node.entries.items()
        found.append(key)
        node = entry.node
    return tuple(found)


def _is_of(span: Span, source: SourceFile) -> bool:
    return span.file.name == source.name and span.file.text == source.text


def _as_quoted(name: str, old: str) -> str:
    return old[0] + name + old[0] if old[:1] in ("'", '"') else name


def _with_one_header_each(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edits with those that open the same table at one place made into one."""
    found: dict[tuple[int, int, str], Edit] = {}
    for edit in edits:
        lines = edit.text.split("\n")
        at = next((at for at, line in enumerate(lines) if line.startswith("[") and line.endswith("]")), None)
        place = (edit.start, edit.end, edit.text if at is None else lines[at])
        first = found.get(place)
        if first is None or at is None:
            found[place] = edit
            continue
        told = first.text.split("\n")
        behind = next((n for n, line in enumerate(told) if n > told.index(lines[at]) and not line), len(told))
        found[place] = first._replace(text="\n".join([*told[:behind], lines[at + 1], *told[behind:]]))
    return tuple(found.values())
