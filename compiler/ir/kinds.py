"""What a field may hold, read from its annotation.

An annotation is a union of atoms: `int`, `float`, `bool`, `str`; a quantity (`Tokens`, `Seconds`, `Bytes`);
`SpecPath`, a path that is relative to the file that names it; `Literal[...]`; `tuple[X, ...]`; the name of a record;
`Off`; and `A`, the openness of the record.  The text is parsed here because `typing.get_type_hints` would cost a warm
plan more than all the rest of the schema.
"""

from __future__ import annotations

from collections.abc import Mapping

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.named_tuple import NamedTuple

if TYPE_CHECKING:
    from compiler.ir.record import Record

Tokens = int
Bytes = int
Seconds = float
SpecPath = str

SCALARS = ("int", "float", "bool", "str", "Tokens", "Bytes", "Seconds", "SpecPath")


class Atom(NamedTuple):
    """One alternative of a field's type.

    `name` is one of SCALARS, `literal`, `list`, `record`, `off` or `auto`.
    """

    name: str
    choices: tuple[str | int, ...] = ()
    item: Atom | None = None
    record: type[Record] | None = None


class Kind(NamedTuple):
    """All alternatives of a field's type."""

    atoms: tuple[Atom, ...] = ()

    @property
    def may_be_auto(self) -> bool:
        """Whether the compiler may decide the value."""
        return any(a.name == "auto" for a in self.atoms)

    @property
    def may_be_off(self) -> bool:
        """Whether "off" is a value."""
        return any(a.name == "off" for a in self.atoms)

    @property
    def records(self) -> tuple[type[Record], ...]:
        """The record classes among the alternatives."""
        return tuple(a.record for a in self.atoms if a.record is not None)

    @property
    def values(self) -> tuple[Atom, ...]:
        """The alternatives that a person can write, Auto and Off aside."""
        return tuple(a for a in self.atoms if a.name not in ("auto", "off"))


def parse_annotation(text: str, module: Mapping[str, object]) -> Kind:
    """Return the kind that an annotation describes; record names are looked up in the module that declares it."""
    return Kind(tuple(_atom(part.strip(), module) for part in _split_union(text)))


def _split_union(text: str) -> list[str]:
    parts: list[str] = []
    for piece in text.split("|"):
        if parts and parts[-1].count("[") > parts[-1].count("]"):  # a bar inside brackets
            parts[-1] += f"|{piece}"
        else:
            parts.append(piece)
    return parts


def _atom(text: str, module: Mapping[str, object]) -> Atom:
    if text in SCALARS:
        return Atom(text)
    if text == "A":
        return Atom("auto")
    if text == "Off":
        return Atom("off")
    if text.startswith("Literal["):
        return Atom("literal", choices=tuple(_choice(word.strip()) for word in text[8:-1].split(",")))
    if text.startswith("tuple["):
        return Atom("list", item=_atom(text[6:-1].removesuffix("...").rstrip(", "), module))
    return Atom("record", record=_record(text.partition("[")[0], module))


def _choice(word: str) -> str | int:
    # A choice is a number, or a text that holds neither a quote nor a comma.
    return word[1:-1] if word.startswith(("'", '"')) else int(word)


def _record(name: str, module: Mapping[str, object]) -> type[Record]:
    found = module[name]
    if not isinstance(found, type) or not hasattr(found, "_declared"):
        raise TypeError(f"the schema cannot hold {name}")
    return found
