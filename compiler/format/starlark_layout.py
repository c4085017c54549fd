"""Words and groups as lines.

A statement stands on one line where it fits and nothing in it asks to be broken.  Otherwise its last brackets are
broken first, one member a line, and then those before; an expression in brackets that is still too wide is broken
before its weakest operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from compiler.format.lines import INDENT, Line, fits
from compiler.format.starlark_parts import Group, Member, Note, Part, Word

_WEAKEST_FIRST: tuple[frozenset[str], ...] = (
    frozenset(("if", "else")),
    frozenset(("or",)),
    frozenset(("and",)),
    frozenset(("==", "!=", "<", ">", "<=", ">=", "in")),
    frozenset(("|",)),
    frozenset(("^",)),
    frozenset(("&",)),
    frozenset(("<<", ">>")),
    frozenset(("+", "-")),
    frozenset(("*", "/", "//", "%")),
)


def statement_lines(parts: Sequence[Part], depth: int) -> list[Line]:
    """Return the lines of a statement that lies in so many blocks."""
    margin = " " * (INDENT * depth)
    return _laid(parts, INDENT * depth, margin, "")


def with_note(line: Line, note: Note | None) -> Line:
    """Return a line with a comment behind it."""
    return line if note is None else line.with_comment(note.text, note.column, is_close=note.is_close)


def _laid(parts: Sequence[Part], indent: int, before: str, after: str, *, is_index: bool = False) -> list[Line]:
    """Parts behind a beginning of a line, and before the end of one; `indent` is that of the line."""
    flat = _flat(parts, is_index=is_index)
    if flat is not None and fits(before + flat + after):
        return [Line(before + flat + after)]
    needed = {at for at, part in enumerate(parts) if isinstance(part, Group) and _flat_group(part) is None}
    lines = _flowing(parts, indent, before, after, broken=needed, is_index=is_index)
    # Where nothing fits, what is broken already stays the only one: a second layout finds it so.
    best = lines if needed else None
    for at in _breakable(parts, needed):
        if _fit(lines):
            return lines
        needed.add(at)
        lines = _flowing(parts, indent, before, after, broken=needed, is_index=is_index)
        best = best or lines
    return lines if _fit(lines) else best or lines


def _breakable(parts: Sequence[Part], needed: set[int]) -> list[int]:
    """Groups that may be broken, the last one first, and what is in the brackets of an index only after all others."""
    groups = [(at, g) for at, g in enumerate(parts) if isinstance(g, Group) and g.members and at not in needed]
    return [at for at, g in reversed(groups) if g.kind != "index"] + [at for at, g in groups if g.kind == "index"]


def _fit(lines: Sequence[Line]) -> bool:
    return all(fits(line.code) for line in lines)


def _flowing(
    parts: Sequence[Part], indent: int, before: str, after: str, *, broken: set[int], is_index: bool
) -> list[Line]:
    lines: list[Line] = []
    code, is_begun = before, False
    for at, (part, space) in enumerate(zip(parts, _spaces(parts, is_index=is_index), strict=True)):
        if isinstance(part, Note):
            lines.append(Line("", code + part.text) if not is_begun else with_note(Line(code), part))
            code, is_begun = " " * (indent + INDENT), False
            continue
        code += space if is_begun else ""
        is_begun = True
        if isinstance(part, Group) and at in broken:
            *inner, last = _broken(part, indent, code)
            lines += inner
            code = last.code
        elif isinstance(part, Group):
            code += _flat_group(part) or ""
        else:
            code += part.text
    return [*lines, Line(code + after)]


def _broken(group: Group, indent: int, before: str) -> list[Line]:
    opening, closing = group.brackets
    only = _only_literal(group)
    if only is not None:
        lines = _broken(only, indent, before + opening)
        return [*lines[:-1], Line(lines[-1].code + closing)]
    inner = indent + INDENT
    lines = [with_note(Line(before + opening), group.comment)]
    if group.is_comprehension:
        lines += _clauses(group.members[0], inner)
        lines += _notes(group.members[1:], inner)
    else:
        has_commas = group.kind in ("call", "list", "dict") or group.is_tuple
        filled = [member for member in group.members if member.parts]
        for member in group.members:
            comma = "," if has_commas or member is not (filled or [None])[-1] else ""
            lines += _member(member, inner, comma, is_index=group.kind == "index")
    return [*lines, Line(" " * indent + closing)]


def _only_literal(group: Group) -> Group | None:
    """The list or dict that is all that a call is given: the brackets of both are broken as one pair."""
    if group.kind != "call" or group.comment is not None or len(group.members) != 1 or group.is_comprehension:
        return None
    member = group.members[0]
    part = member.parts[0] if len(member.parts) == 1 else None
    is_plain = isinstance(part, Group) and part.kind in ("list", "dict") and bool(part.members)
    return part if isinstance(part, Group) and is_plain and not member.before and member.behind is None else None


def _member(member: Member, indent: int, comma: str, *, is_index: bool) -> list[Line]:
    margin = " " * indent
    lines = [Line("")] if member.is_apart else []
    lines += [Line("", margin + note.text) for note in member.before]
    if not member.parts:
        return lines
    laid = _laid(member.parts, indent, margin, comma, is_index=is_index)
    if not _fit(laid):
        laid = _at_operators(member.parts, indent, comma) or laid
    laid[-1] = with_note(laid[-1], member.behind)
    return lines + laid


def _clauses(member: Member, indent: int) -> list[Line]:
    """A comprehension, each of its clauses on a line."""
    chunks: list[list[Part]] = [[]]
    seen_for = False
    for part in member.parts:
        if isinstance(part, Word) and (part.kind == "for" or (part.kind == "if" and seen_for)):
            seen_for = True
            chunks.append([])
        chunks[-1].append(part)
    lines: list[Line] = [Line("", " " * indent + note.text) for note in member.before]
    for chunk in chunks:
        ends: list[Note] = []
        while chunk and isinstance(end := chunk[-1], Note):
            ends.insert(0, end)
            chunk.pop()
        lines += _laid(chunk, indent, " " * indent, "")
        lines = _ended(lines, ends, indent)
    return _ended(lines, [member.behind] if member.behind is not None else [], indent)


def _ended(lines: list[Line], notes: Sequence[Note], indent: int) -> list[Line]:
    """Lines with comments behind the last one, or below it."""
    for nth, note in enumerate(notes):
        if nth == 0 and not note.is_alone:
            lines = [*lines[:-1], with_note(lines[-1], note)]
        else:
            lines = [*lines, Line("", " " * indent + note.text)]
    return lines


def _notes(members: Sequence[Member], indent: int) -> list[Line]:
    return [Line("", " " * indent + note.text) for member in members for note in member.before]


def _at_operators(parts: Sequence[Part], indent: int, comma: str) -> list[Line] | None:
    """An expression in brackets, broken before its weakest operators; None if it has none."""
    words = [part.text if isinstance(part, Word) and not part.is_unary else "" for part in parts]
    if "lambda" in words or any(isinstance(part, Note) for part in parts):
        return None
    start = max((at + 1 for at, word in enumerate(words) if word in ("=", ":")), default=0)
    weakest = next((signs for signs in _WEAKEST_FIRST if signs.intersection(words[start:])), None)
    if weakest is None:
        return None
    signs = [at for at in range(start, len(words)) if words[at] in weakest]
    cuts = [at - (words[at] == "in" and words[at - 1] == "not") for at in signs if at > start]
    lines: list[Line] = []
    bounds = [0, *cuts, len(parts)]
    for first, last in pairwise(bounds):
        inner = indent + (INDENT if first and start else 0)
        lines += _laid(parts[first:last], inner, " " * inner, comma if last == len(parts) else "")
    return lines


def _flat(parts: Sequence[Part], *, is_index: bool = False) -> str | None:
    """Parts on one line, or None where something asks to be broken."""
    found: list[str] = []
    for part, space in zip(parts, _spaces(parts, is_index=is_index), strict=True):
        text = part.text if isinstance(part, Word) else None if isinstance(part, Note) else _flat_group(part)
        if text is None:
            return None
        found.append(space + text)
    return "".join(found)


def _flat_group(group: Group) -> str | None:
    has_notes = group.comment is not None or any(m.before or m.behind is not None for m in group.members)
    if has_notes or (group.has_comma and group.is_broken):
        return None
    inside: list[str] = []
    for member in group.members:
        text = _flat(member.parts, is_index=group.kind == "index")
        if text is None:
            return None
        inside.append(text)
    comma = "," if group.is_tuple and len(inside) == 1 else ""
    return group.brackets[0] + ", ".join(inside) + comma + group.brackets[1]


def _spaces(parts: Sequence[Part], *, is_index: bool) -> list[str]:
    """What stands before each part."""
    found: list[str] = []
    num_lambdas = 0
    before: Part | None = None
    is_slice = False
    for part in parts:
        word = part.text if isinstance(part, Word) else ""
        previous = before.text if isinstance(before, Word) else ""
        is_joined = (
            before is None
            or word in (",", ":", ".")
            or (previous == "." and isinstance(before, Word) and before.kind == ".")
            or (isinstance(before, Word) and before.is_unary)
            or (isinstance(part, Group) and part.kind in ("call", "index"))
            or is_slice
        )
        if word == "." and isinstance(before, Word) and before.kind == "INT":
            is_joined = False  # `1 .a` is no number with a fraction
        found.append("" if is_joined else " ")
        num_lambdas += word == "lambda"
        is_slice = is_index and word == ":" and num_lambdas == 0
        num_lambdas -= word == ":" and num_lambdas > 0
        before = part
    return found
