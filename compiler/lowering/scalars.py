"""Single values: a TOML scalar or a quantity becomes what a field may hold, or a fault that says what it may hold."""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, alternatives
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span
from compiler.frontend.value import Leaf, List, Node, Table
from compiler.ir.kinds import Atom
from compiler.ir.quantities import QuantityFault, parse_bytes, parse_seconds, parse_tokens
from compiler.ir.record import Field
from compiler.ir.subject import toml_literal

_QUANTITIES: tuple[tuple[str, Callable[[str], float | QuantityFault]], ...] = (
    ("Tokens", parse_tokens),
    ("Bytes", parse_bytes),
    ("Seconds", parse_seconds),
)
_WORDS = (
    ("int", "a whole number"),
    ("float", "a number"),
    ("bool", "true or false"),
    ("str", "a text"),
    ("Tokens", 'a count such as 8192 or "8Ki"'),
    ("Bytes", 'a size such as "512MiB"'),
    ("Seconds", 'a time such as 30 or "30s"'),
    ("SpecPath", "a path"),
)


class Unreadable(NamedTuple):
    """Why a value does not fit.  `is_closer` marks a fault that says more than "another type is wanted"."""

    diagnostic: Diagnostic
    is_closer: bool = False


class OutOfBounds(NamedTuple):
    """A number outside of a field's domain."""

    field: Field
    value: float
    said: str
    nearest: float | None

    def at(self, span: Span, shown: str) -> Diagnostic:
        """Return the diagnostic, with the nearest legal value as help where there is one.

        Args:
            shown: the path as a person writes it.
        """
        text = span.text if not span.file.name.endswith(".star") else toml_literal(self.value)
        message = f"{shown} = {text} is out of bounds"
        unit = f" ({self.field.unit})" if self.field.unit else ""
        helps = ()
        # What a model's config.json says is a fact: no spec may set it to something else.
        if self.nearest is not None and not span.file.name.endswith(".json"):
            literal = toml_literal(self.nearest)
            helps = (Help(f"set {shown} = {literal}", ((shown, literal),)),)
        label = Label(span, f"must be {self.said}{unit}", True)
        return Diagnostic("RLC0204", message, (label,), helps)


def read_scalar(field: Field, atom: Atom, leaf: Leaf) -> object:
    """Return the value of a leaf as one alternative of a field's type, or an Unreadable."""
    value = leaf.value
    if atom.name == "literal":
        if isinstance(value, str) and value in atom.choices:
            return value
        return _no_choice(field, atom, leaf)
    if atom.name == "bool":
        return value if isinstance(value, bool) else describe(field, leaf)
    if atom.name in ("str", "SpecPath"):
        return value if isinstance(value, str) else describe(field, leaf)
    if isinstance(value, str):
        return _quantity(field, atom, leaf, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return describe(field, leaf)
    if atom.name in ("float", "Seconds"):
        try:
            return float(value)
        except OverflowError:
            return describe(field, leaf)
    return value if isinstance(value, int) else describe(field, leaf)


def out_of_bounds(field: Field, value: object) -> OutOfBounds | None:
    """Return the fault of a number outside of a field's bounds, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return OutOfBounds(field, value, "finite", None)
    for op, bound in field.bounds:
        holds = {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[op]
        if not holds:
            nearest = bound if op in ("ge", "le") else None
            if nearest is not None and isinstance(value, int):
                nearest = int(nearest)
            return OutOfBounds(field, value, _said(field), nearest)
    return None


def describe(field: Field, node: Node) -> Unreadable:
    """Return the fault of a value of the wrong type."""
    wanted = " or ".join(_wanted(field))
    found = _found(node)
    helps: tuple[Help, ...] = ()
    if isinstance(node, Leaf) and isinstance(node.value, str) and _is_number(node.value) and "number" in wanted:
        helps = (Help(f"write it without quotes: {node.value.strip()}"),)
    elif isinstance(node, Leaf) and isinstance(node.value, float) and _is_whole(node.value):
        helps = (Help(f"write {int(node.value)}"),)
    elif isinstance(node, Table) and "a list of tables" in wanted and node.span.text.startswith("["):
        helps = (Help(f"write [{node.span.text}], in double brackets"),)
    elif isinstance(node, Leaf) and "list" in wanted:
        helps = (Help(f"write [{toml_literal(node.value)}]"),)
    label = Label(node.span, f"{found} stands here", True)
    return Unreadable(Diagnostic("RLC0203", f"{field.name} takes {wanted}", (label,), helps))


def stand_in(field: Field) -> object:
    """Return some value of a field's type, for a field that could not be read."""
    atom = field.kind.values[0]
    if atom.name == "literal":
        return atom.choices[0]
    if atom.name == "list":
        return ()
    if atom.name == "bool":
        return False
    if atom.name in ("str", "SpecPath"):
        return ""
    lowest = next((bound for op, bound in field.bounds if op in ("ge", "gt")), 0)
    return int(lowest) + 1 if atom.name in ("int", "Tokens", "Bytes") else float(lowest) + 1.0


def _quantity(field: Field, atom: Atom, leaf: Leaf, text: str) -> object:
    parse = next((p for name, p in _QUANTITIES if name == atom.name), None)
    if parse is None:
        return describe(field, leaf)
    value = parse(text)
    if not isinstance(value, QuantityFault):
        return value
    helps = alternatives(*(Help(f"write {s if _is_number(s) else toml_literal(s)}") for s in value.suggestions))
    label = Label(leaf.span, f"takes {dict(_WORDS)[atom.name]}", True)
    return Unreadable(Diagnostic("RLC0401", value.message, (label,), helps), is_closer=True)


def _no_choice(field: Field, atom: Atom, leaf: Leaf) -> Unreadable:
    if not isinstance(leaf.value, str):
        return describe(field, leaf)
    known = [str(c) for c in atom.choices]
    near = nearest_names(leaf.value, known)
    helps = tuple(Help(f'did you mean "{n}"?') for n in near) or (
        Help("choose one of " + ", ".join(f'"{c}"' for c in known)),
    )
    label = Label(leaf.span, "not one of " + ", ".join(known), True)
    fault = Diagnostic("RLC0215", f"{field.name} cannot be {toml_literal(leaf.value)}", (label,), helps)
    return Unreadable(fault, is_closer=True)


def _wanted(field: Field) -> list[str]:
    words = dict(_WORDS)
    wanted = []
    for atom in field.kind.values:
        if atom.name == "literal":
            wanted.append(" or ".join(f'"{c}"' for c in atom.choices))
        elif atom.name == "list":
            wanted.append("a list of tables" if atom.item and atom.item.record else "a list")
        elif atom.name == "record":
            wanted.append("a table")
        else:
            wanted.append(words[atom.name])
    if field.kind.may_be_auto:
        wanted.append('"auto"')
    if field.kind.may_be_off:
        wanted.append('"off"')
    return list(dict.fromkeys(wanted))


def _found(node: Node) -> str:
    if isinstance(node, Table):
        return "a table"
    if isinstance(node, List):
        return "a list"
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a decimal number"
    return "a text" if isinstance(value, str) else "a date or time"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_whole(number: float) -> bool:
    return number % 1 == 0


def _said(field: Field) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{signs[op]} {bound:,}" for op, bound in field.bounds)
