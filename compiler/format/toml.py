"""A TOML text laid out.

Order, blank lines, comments and the spelling of numbers stay.  Keys and strings lose quotes that say nothing, text
stands in double quotes, an array that was written over several lines has each row indented and ends in a comma, one
that is too wide is broken.  Equals signs that were lined up stay so.  Line breaks are those of the first line; a
byte-order mark is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import tomli

from compiler.diagnostics.diagnostic import InternalError
from compiler.format.lines import INDENT, Line, fits, joined
from compiler.format.toml_items import Comment, Container, Header, Item, Member, Pair, Row, Value, read_items


def format_toml(text: str) -> str:
    """Return a valid TOML text, laid out; its line breaks are single line feeds."""
    lines: list[Line] = []
    items = read_items(text)
    for item, indent in zip(items, _lined_up(items), strict=True):
        if isinstance(item, Pair):
            lines += _closed(_laid(item.key.ljust(indent) + " = ", item.value, 0, ""), item.comment)
        elif isinstance(item, Header):
            lines.append(_with(Line(item.text), item.comment))
        else:
            lines.append(Line(item.text) if isinstance(item, Comment) else Line(""))
    result = joined(lines)
    if not _same(tomli.loads(text), tomli.loads(result)):
        raise InternalError("the layout of a TOML text would change what it says")
    return result


def _lined_up(items: Sequence[Item]) -> list[int]:
    """The width of each pair's key: that of the widest one where equals signs were lined up."""
    widths = [len(item.key) if isinstance(item, Pair) else 0 for item in items]
    run: list[int] = []
    for at, item in enumerate((*items, None)):
        if isinstance(item, Comment):
            continue
        first = items[run[0]] if run else None
        if isinstance(item, Pair) and isinstance(first, Pair) and first.equals == item.equals:
            run.append(at)
            continue
        if any(isinstance(pair := items[i], Pair) and pair.is_padded for i in run) and len(run) > 1:
            widest = max(widths[i] for i in run)
            for i in run:
                widths[i] = widest
        run = [at] if isinstance(item, Pair) else []
    return widths


def _laid(before: str, value: Value, indent: int, after: str) -> list[Line]:
    """A value behind a beginning of a line."""
    if isinstance(value, str):
        return [Line(before + value + after)]
    flat = _flat(value)
    if flat is not None and (value.bracket == "{" or not value.rows or fits(before + flat + after)):
        return [Line(before + flat + after)]
    if value.bracket == "{" and not value.is_broken:
        lines = _flowing(before + "{ ", [m for row in value.rows for m in row.members], indent)
        return [*lines[:-1], lines[-1]._replace(code=lines[-1].code + " }" + after)]
    lines = [_with(Line(before + value.bracket), value.comment)]
    for row in value.rows if value.is_broken else _one_each(value):
        lines += _row(row, indent + INDENT)
    return [*lines, Line(" " * indent + value.closing + after)]


def _row(row: Row, indent: int) -> list[Line]:
    margin = " " * indent
    lines = [Line("")] if row.is_apart else []
    if not row.members:
        return [*lines, Line(margin + (row.comment.text if row.comment is not None else ""))]
    flat = [_flat_member(member) for member in row.members]
    whole = margin + ", ".join(text for text in flat if text is not None) + ","
    if None not in flat and fits(whole):
        return _closed([*lines, Line(whole)], row.comment)
    if None in flat:
        flowing = _flowing(margin, row.members, indent)
        if all(fits(line.code) for line in flowing):
            lines += [*flowing[:-1], flowing[-1]._replace(code=flowing[-1].code + ",")]
            return _closed(lines, row.comment)
    for member in row.members:
        lines += _laid(margin + _key(member), member.value, indent, ",")
    return _closed(lines, row.comment)


def _flowing(before: str, members: Sequence[Member], indent: int) -> list[Line]:
    """Members one behind the other; those that take several lines go on from their last one."""
    lines = [Line(before)]
    for nth, member in enumerate(members):
        begin = lines.pop().code + (", " if nth else "") + _key(member)
        lines += _laid(begin, member.value, indent, "")
    return lines


def _one_each(value: Container) -> list[Row]:
    return [Row((member,)) for row in value.rows for member in row.members]


def _flat(value: Value) -> str | None:
    """A value on one line, or None where it was written over several."""
    if isinstance(value, str):
        return value
    if value.is_broken:
        return None
    inside = [_flat_member(member) for row in value.rows for member in row.members]
    if None in inside:
        return None
    text = ", ".join(part for part in inside if part is not None)
    return f"{{ {text} }}" if value.bracket == "{" and text else value.bracket + text + value.closing


def _flat_member(member: Member) -> str | None:
    flat = _flat(member.value)
    return None if flat is None else _key(member) + flat


def _key(member: Member) -> str:
    return f"{member.key} = " if member.key else ""


def _closed(lines: list[Line], comment: Comment | None) -> list[Line]:
    """Lines with a comment behind the last one."""
    return [*lines[:-1], _with(lines[-1], comment)]


def _with(line: Line, comment: Comment | None) -> Line:
    if comment is None:
        return line
    return line.with_comment(comment.text, comment.column, is_close=comment.is_close)


def _same(a: object, b: object) -> bool:
    """Whether two values are the same: kinds, order of keys and not-a-number included."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and (a == b or a != a)
