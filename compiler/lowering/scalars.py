"""Single values: a TOML scalar or a quantity becomes what a field may hold, or a fault that says what it may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """Why a value does not fit, as a diagnostic that does not know yet which field it is about.

    `is_closer` marks a fault that says more than "another type is wanted".  `said` goes behind the path of the field;
    without it the message stands as it is.  `meant` holds for each help the TOML literal that a tool may write.
    """

    diagnostic: Diagnostic
    is_closer: bool = False
    said: str = ""
    meant: tuple[str, ...] = ()

    def at(self, shown: str) -> Diagnostic:
        """Return the diagnostic of a field, by its path as a person writes it."""
        message = f"{shown} {self.said}" if self.said else self.diagnostic.message
        ways = self.diagnostic.help
        if self.meant:
            ways = tuple(way._replace(sets=((shown, text),)) for way, text in zip(ways, self.meant, strict=True))
        return self.diagnostic._replace(message=message, help=ways)


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


def describe(field: Field, node: Node, item: Atom | None = None) -> Unreadable:
    """Return the fault of a value of the wrong type.

    Args:
        item: the type of an element, where the value is one of a list.
    """
    atoms = field.kind.values if item is None else (item,)
    wanted = " or ".join(_wanted(field) if item is None else _kinds(atoms))
    said = f"takes {wanted}" if item is None else f"is a list, each of {wanted}"
    label = Label(node.span, f"{_found(node)} stands here", True)
    helps, meant = _meant(field, atoms, node)
    return Unreadable(Diagnostic("RLC0203", "", (label,), helps), said=said, meant=() if item else meant)


def in_a_sentence(doc: str) -> str:
    """Return what the schema says of a field, as it goes on behind a colon."""
    is_word = doc[:1].isupper() and doc[1:2].islower()
    return (doc[:1].lower() + doc[1:] if is_word else doc).rstrip(".")


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
    texts = [s if _is_number(s) else toml_literal(s) for s in value.suggestions]
    helps = alternatives(*(Help(f"write {text}") for text in texts))
    # Where a text could mean two numbers, no tool may choose.
    meant = tuple(texts) if len(texts) == 1 else ()
    label = Label(leaf.span, f"takes {dict(_WORDS)[atom.name]}", True)
    return Unreadable(Diagnostic("RLC0401", value.message, (label,), helps), is_closer=True, meant=meant)


def _no_choice(field: Field, atom: Atom, leaf: Leaf) -> Unreadable:
    if not isinstance(leaf.value, str):
        return describe(field, leaf)
    known = [str(c) for c in atom.choices]
    near = nearest_names(leaf.value, known)
    helps = tuple(Help(f'did you mean "{n}"?') for n in near) or (
        Help("choose one of " + ", ".join(f'"{c}"' for c in known)),
    )
    label = Label(leaf.span, "not one of " + ", ".join(known), True)
    meant = tuple(toml_literal(n) for n in near) if len(near) == 1 else ()
    said = f"cannot be {toml_literal(leaf.value)}"
    return Unreadable(Diagnostic("RLC0215", "", (label,), helps), is_closer=True, said=said, meant=meant)


def _meant(field: Field, atoms: Sequence[Atom], node: Node) -> tuple[tuple[Help, ...], tuple[str, ...]]:
    """What could stand there instead, as ways out and as the literals that they would write."""
    types = {atom.name for atom in atoms}
    if isinstance(node, Table):
        if any(atom.item is not None and atom.item.record for atom in atoms) and node.span.text.startswith("["):
            return (Help(f"write [{node.span.text}], in double brackets", replaced=f"[{node.span.text}]"),), ()
        return (), ()
    if isinstance(node, List):
        return (), ()
    value, literal = node.value, ""
    said = "write {}"
    if isinstance(value, str):
        count = parse_tokens(value) if "int" in types else None
        if _is_number(value) and not types.isdisjoint(("int", "float", "Tokens", "Seconds")):
            said, literal = "write it without quotes: {}", value.strip()
        elif isinstance(count, int):
            literal = str(count)
        elif any("name" in record.fields() for record in field.kind.records) and "record" in types:
            literal = f"{{ name = {toml_literal(value)} }}"
    elif isinstance(value, float) and _is_whole(value) and not types.isdisjoint(("int", "Tokens", "Bytes")):
        literal = str(int(value))
    elif "str" in types and not isinstance(value, bool):
        said = "write it in quotes: {}"
        literal = toml_literal(str(value) if node.span.file.name.endswith(".star") else node.span.text)
    if "list" in types and not literal:
        literal = f"[{toml_literal(value)}]"
    if not literal:
        doc = f": {in_a_sentence(field.doc)}" if field.doc else ""
        return ((Help(f"write it as a table{doc}"),) if "record" in types else ()), ()
    return (Help(said.format(literal)),), (literal,)


def _wanted(field: Field) -> list[str]:
    opened = ['"auto"'] if field.kind.may_be_auto else []
    unset = ['"off"'] if field.kind.may_be_off else []
    return [*_kinds(field.kind.values), *opened, *unset]


def _kinds(atoms: Sequence[Atom]) -> list[str]:
    words = dict(_WORDS)
    wanted = []
    for atom in atoms:
        if atom.name == "literal":
            wanted.append(" or ".join(f'"{c}"' for c in atom.choices))
        elif atom.name == "list":
            wanted.append("a list of tables" if atom.item and atom.item.record else "a list")
        elif atom.name == "record":
            wanted.append("a table")
        else:
            wanted.append(words[atom.name])
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
