"""Edits of a TOML text: a value set, or a key removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import tomli

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.fixes.edit import Edit
from compiler.frontend.toml_spans import Mark, locate


class _Found(NamedTuple):
    """The mark that the first keys of a path lead to, the keys that are left, and the names of headers on the way."""

    mark: Mark
    rest: tuple[str, ...]
    headers: tuple[str, ...]
    element: Mark | None


def setting(source: SourceFile, keys: Sequence[str], literal: str, _: Span | None, __: Path | None) -> Edit | None:
    """Return the edit that gives a field a value, or None where the text has no room for it."""
    root = locate(source.text).root
    found = _follow(root, tomli.loads(source.text), keys)
    if found is None or any(key.startswith("[") for key in found.rest):
        return None
    mark = found.mark
    if not found.rest:
        return Edit(mark.start, mark.end, literal) if mark.origin in ("value", "list", "inline") else None
    if mark.origin == "inline":
        return _into_inline(source.text, mark, f"{_dotted(found.rest)} = {literal}")
    if mark.origin == "dotted":
        return _beside_dotted(source.text, mark, f"{_dotted(found.rest)} = {literal}")
    if mark.origin not in ("header", "implied"):
        return None
    *tables, key = found.rest
    line = f"{_dotted((key,))} = {literal}\n"
    if not tables and mark.origin == "header":
        return _into_section(source.text, mark, line, is_root=mark is root)
    header = f"[{_dotted((*found.headers, *tables))}]\n"
    if not tables:
        first = min(inner.start for inner in _below(mark) if inner.origin in ("header", "array"))
        at = source.text.rfind("\n", 0, first) + 1
        return Edit(at, at, f"{header}{line}\n")
    at = _end_of_region(root, found.element, len(source.text))
    return _new_section(source.text, at, header + line)


def unsetting(source: SourceFile, keys: Sequence[str], _: Span | None, __: Path | None) -> Edit | None:
    """Return the edit that takes away a field, or None if the text has it in no pair of its own."""
    root = locate(source.text).root
    found = _follow(root, tomli.loads(source.text), keys)
    return None if found is None or found.rest else _removal(source.text, root, found.mark.key_start)


def removal(source: SourceFile, key: Span, _: Path | None) -> Edit | None:
    """Return the edit that takes away a key with its value, or None if it is no pair of its own."""
    return _removal(source.text, locate(source.text).root, key.start)


def _removal(text: str, root: Mark, key_start: int) -> Edit | None:
    holder, mark = _pair_at(root, key_start)
    if mark is None or mark.origin not in ("value", "list", "inline"):
        return None
    if holder.origin == "inline":
        return _out_of_inline(text, holder, mark)
    start = text.rfind("\n", 0, mark.key_start) + 1
    end = text.find("\n", mark.end)
    return Edit(start, len(text) if end < 0 else end + 1, "")


def _follow(root: Mark, value: object, keys: Sequence[str]) -> _Found | None:
    mark, headers, element = root, (), None
    for at, key in enumerate(keys):
        if isinstance(value, list):
            index = _index(value, key)
            if index is None:
                return None
            mark, value = mark.items[index], value[index]
            element = mark if mark.origin == "header" else element
            continue
        if not isinstance(value, dict):
            return None
        inner = mark.members.get(key)
        if inner is None:
            return _Found(mark, tuple(keys[at:]), headers, element)
        mark, value = inner, cast("object", value[key])
        headers = (*headers, key)
    return _Found(mark, (), headers, element)


def _index(elements: Sequence[object], key: str) -> int | None:
    """The element of a list: by its index, or by its name."""
    if key.startswith("["):
        at = int(key[1:-1])
        return at if at < len(elements) else None
    names = [element.get("name") if isinstance(element, dict) else None for element in elements]
    return names.index(key) if key in names else None


def _into_section(text: str, mark: Mark, line: str, *, is_root: bool) -> Edit:
    """Behind the last pair of a section, or behind its header."""
    own = [inner.end for inner in _own_pairs(mark)]
    if own or not is_root:
        end = text.find("\n", max(own, default=mark.end))
        return Edit(end + 1, end + 1, line) if end >= 0 else Edit(len(text), len(text), f"\n{line}")
    headers = [inner.start for inner in _below(mark) if inner.origin in ("header", "array")]
    if not headers:
        return Edit(len(text), len(text), line if text.endswith("\n") or not text else f"\n{line}")
    at = text.rfind("\n", 0, min(headers)) + 1
    while at and text[: at - 1].rpartition("\n")[2].lstrip().startswith("#"):
        at = text.rfind("\n", 0, at - 1) + 1
    return Edit(at, at, f"{line}\n")


def _own_pairs(mark: Mark) -> list[Mark]:
    """The values written in the lines of a section, dotted keys included."""
    found: list[Mark] = []
    for inner in mark.members.values():
        if inner.origin == "dotted":
            found += _own_pairs(inner)
        elif inner.origin in ("value", "list", "inline"):
            found.append(inner)
    return found


def _below(mark: Mark) -> list[Mark]:
    found: list[Mark] = []
    for inner in (*mark.members.values(), *mark.items):
        found += [inner, *_below(inner)]
    return found


def _end_of_region(root: Mark, element: Mark | None, size: int) -> int:
    """Where the tables of an element of an array of tables end, or those of the text."""
    if element is None:
        return size
    inside = max((inner.end for inner in _below(element)), default=element.end)
    end = max(inside, element.end)
    return min((m.start for m in _below(root) if m.origin == "header" and m.start > end), default=size)


def _new_section(text: str, at: int, section: str) -> Edit:
    """A section between what ends before an offset and what begins there."""
    head = text[:at].rstrip("\n")
    while at < len(text) and head.rpartition("\n")[2].startswith("#"):  # those belong to what follows
        head = head.rpartition("\n")[0].rstrip("\n")
    start = len(head)
    is_last = not text[start:].strip()
    return Edit(start, at if is_last else start, f"\n\n{section}" if is_last else f"\n\n{section.rstrip()}")


def _into_inline(text: str, mark: Mark, pair: str) -> Edit:
    inside = text[mark.start + 1 : mark.end - 1]
    if not inside.strip():
        return Edit(mark.start, mark.end, f"{{ {pair} }}")
    end = mark.start + 1 + len(inside.rstrip())
    return Edit(end, end, (" " if inside.rstrip().endswith(",") else ", ") + pair)


def _out_of_inline(text: str, holder: Mark, mark: Mark) -> Edit:
    start, end = mark.key_start, mark.end
    after = text[end : holder.end]
    if after.lstrip().startswith(","):
        end += after.index(",") + 1
        return Edit(start, end + len(text[end:]) - len(text[end:].lstrip(" \t")), "")
    before = text[:start].rstrip()
    return Edit(len(before) - before.endswith(","), end, "")


def _beside_dotted(text: str, mark: Mark, pair: str) -> Edit | None:
    """A line below the last one that has the same dotted beginning."""
    direct = [m for m in mark.members.values() if m.origin in ("value", "list", "inline")]
    if not direct:
        return None
    last = max(direct, key=lambda inner: inner.end)
    line_start = text.rfind("\n", 0, last.key_start) + 1
    end = text.find("\n", last.end)
    line = text[line_start : last.key_start] + pair + "\n"
    return Edit(end + 1, end + 1, line) if end >= 0 else Edit(len(text), len(text), f"\n{line}")


def _pair_at(mark: Mark, offset: int) -> tuple[Mark, Mark | None]:
    """The pair whose key begins at an offset, and what holds it."""
    for inner in (*mark.members.values(), *mark.items):
        if inner.key_start == offset and inner in mark.members.values():
            return mark, inner
        holder, found = _pair_at(inner, offset)
        if found is not None:
            return holder, found
    return mark, None


def _dotted(keys: Sequence[str]) -> str:
    return ".".join(key if key.replace("-", "_").isidentifier() and key.isascii() else _quoted(key) for key in keys)


def _quoted(key: str) -> str:
    return key if key.isascii() and key.replace("-", "a").replace("_", "a").isalnum() else f'"{key}"'
