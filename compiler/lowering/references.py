"""`"${a.b * 2}"`: a text that stands for the value of an expression over resolved fields.

Here only its place is found, and what its field may hold; the value is decided when the fields that it reads are.
Until then a stand-in is read.  `$${` is a text that holds `${`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span
from compiler.frontend.value import Entry, Leaf, List
from compiler.ir.equations import Ratio
from compiler.ir.openness import OFF
from compiler.ir.provenance import Origin
from compiler.ir.record import Field
from compiler.lowering.reader import losers
from compiler.lowering.scalars import Unreadable, out_of_bounds, stand_in

if TYPE_CHECKING:
    from compiler.frontend.value import Scalar
    from compiler.lowering.reader import Reader

MARK, ESCAPED = "${", "$${"
Accept = Callable[[object, str], "object | Diagnostic"]


class Reference(NamedTuple):
    """A field whose value is an expression.

    `value` is the text as written, and `inside` where the expression stands in it; `accept` gives what the field holds
    for a value, which it is told in words too, or the diagnostic that says why it cannot.
    """

    path: str
    value: str
    inside: tuple[int, int]
    span: Span
    accept: Accept


def read_reference(reader: Reader, field: Field, entry: Entry, path: str) -> object:
    """Return the value of a field whose text holds `${`; a stand-in for one that is a reference."""
    leaf = entry.node
    assert isinstance(leaf, Leaf), "only a text holds `${`"
    text = str(leaf.value)
    if MARK not in text.replace(ESCAPED, ""):
        return reader.plain(field, entry._replace(node=leaf._replace(value=text.replace(ESCAPED, MARK))), path)
    fault = _fault(reader, field, leaf, path)
    if fault is not None:
        reader.report(path, fault)
        return reader.fallback(field)
    span = leaf.span
    origin = Origin("derived", span, entry.key_span, by=text, shadowed=losers(leaf), calls=leaf.calls)
    reader.origins.record(path, origin)

    def accept(value: object, said: str) -> object | Diagnostic:
        return _accepted(reader, field, _node(value, leaf), path=path, said=said)

    reader.references.append(Reference(path, text, (len(MARK), len(text) - 1), span, accept))
    return stand_in(field)


def in_a_list(leaf: Leaf) -> Leaf | Diagnostic:
    """Return an element of a list that holds `${` without its escapes; a reference is no element."""
    text = str(leaf.value)
    if MARK in text.replace(ESCAPED, ""):
        label = Label(leaf.span, "an element", is_primary=True)
        way = Help(f"write the whole list as a reference, or {ESCAPED} for a text that holds {MARK}")
        return Diagnostic("RLC0223", "an element of a list cannot be a reference", (label,), (way,))
    return leaf._replace(value=text.replace(ESCAPED, MARK))


def _fault(reader: Reader, field: Field, leaf: Leaf, path: str) -> Diagnostic | None:
    """Why a text is no reference, or its field cannot have one."""
    text, shown = str(leaf.value), reader.shown(path, leaf.span)
    if not _is_whole(text):
        label = Label(leaf.span, "text and a reference", is_primary=True)
        ways = (
            Help("write the reference alone: it has the type of what it refers to"),
            Help(f"or write {ESCAPED} for a text that holds {MARK}"),
        )
        return Diagnostic("RLC0222", f"{shown} holds {MARK} inside a longer text", (label,), ways)
    if _is_read_first(field, path):
        label = Label(leaf.span, "needed before any field is resolved", is_primary=True)
        way = Help(f"write the {'path' if 'SpecPath' in _types(field) else 'value'} itself")
        return Diagnostic("RLC0223", f"{shown} cannot be a reference", (label,), (way,))
    return None


def _is_whole(text: str) -> bool:
    """Whether a text is one reference from its first character to its last."""
    if not (text.startswith(MARK) and text.endswith("}")):
        return False
    depth, quote, at = 0, "", 1
    while at < len(text):
        character = text[at]
        if quote:
            at += character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return at == len(text) - 1
        at += 1
    return True  # what is not closed is said by the parser


def _is_read_first(field: Field, path: str) -> bool:
    """Whether the compiler looks at a field before it resolves any: names, and what decides what else is read."""
    is_sibling = any(f.read_if and f.read_if[0] == field.name for f in field.owner.fields().values())
    is_text = not field.kind.may_be_auto and ("str" in _types(field) or path.startswith("model."))
    is_table = any(atom.record is not None or (atom.item and atom.item.record) for atom in field.kind.values)
    return is_sibling or is_table or (is_text and not _types(field) <= {"int", "float", "bool"})


def _types(field: Field) -> set[str]:
    return {atom.name for atom in field.kind.values}


def _node(value: object, leaf: Leaf) -> Leaf | List:
    if isinstance(value, list):
        return List(tuple([_node(item, leaf) for item in value]), leaf.span, leaf.priority)
    # A fraction is no scalar of a spec: whoever reads the leaf makes it one.
    return Leaf(cast("Scalar", value), leaf.span, leaf.priority)


def _accepted(reader: Reader, field: Field, node: Leaf | List, *, path: str, said: str) -> object | Diagnostic:
    shown = reader.shown(path, node.span)
    value = node.value if isinstance(node, Leaf) else None
    if isinstance(value, Ratio):
        if _types(field).isdisjoint(("float", "Seconds")):
            label = Label(node.span, f"is {value}", is_primary=True)
            way = Help("divide with // to round down")
            return Diagnostic("RLC0224", f"{shown} takes a whole number, and this is {value}", (label,), (way,))
        node = Leaf(value.numerator / value.denominator, node.span, node.priority)
        value = node.value
    if value == "off" and field.kind.may_be_off:
        return OFF
    if isinstance(value, str) and "SpecPath" in _types(field):
        return value  # a field holds it relative to the root already
    found = reader.typed(field, node, path)
    if isinstance(found, Unreadable):
        fault = found.at(shown)
        label = Label(node.span, f"is {said}", is_primary=True)
        return fault._replace(message=f"{fault.message}, and this is {said}", labels=(label,), help=())
    bound = out_of_bounds(field, found)
    if bound is None:
        return found
    fault = bound.at(node.span, shown)
    label = Label(node.span, f"is {said}; {fault.labels[0].text}", is_primary=True)
    return fault._replace(message=f"{shown} = {said} is out of bounds", labels=(label,))
