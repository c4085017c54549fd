"""Schema records: each table of a spec declared once, as a class, with its types, units, bounds and doc lines.

Everything else about a field derives from its declaration: what `--set` accepts, the JSON Schema for editors, the
reference pages, `rlc explain`, and whether it may change on resume.  Records are immutable and compare by value.

A hand-written base instead of dataclasses: class creation generates no code, which keeps a warm plan fast
(docs/decisions/0002).  Annotations are read as text when a record is first used; `ir/kinds.py` says how.
"""

from __future__ import annotations

import sys

from compiler.diagnostics.annotations import Any, ClassVar, Literal, Self, dataclass_transform
from compiler.ir.kinds import Kind, parse_annotation

Resume = Literal["must_match", "may_change"]


class _Missing:
    def __repr__(self) -> str:
        return "required"


MISSING = _Missing()


class Field:
    """What the schema knows about one field."""

    __slots__ = (
        "assumed",
        "bounds",
        "default",
        "doc",
        "in_hash",
        "is_derived",
        "kind",
        "name",
        "on_resume",
        "owner",
        "read_if",
        "spread",
        "unit",
    )

    def __init__(self, doc: str) -> None:
        self.doc = doc
        self.name = ""
        self.owner: type[Record] = Record
        self.kind: Kind = Kind()
        self.default: object = MISSING
        self.assumed: object = MISSING
        self.unit = ""
        self.bounds: tuple[tuple[str, float], ...] = ()
        self.on_resume: Resume = "must_match"
        self.in_hash = True
        self.is_derived = False
        self.spread = False
        self.read_if: tuple[str, tuple[object, ...]] | None = None

    @property
    def is_required(self) -> bool:
        """Whether a spec has to say it: no default, nothing to derive it from."""
        return self.default is MISSING and not self.kind.may_be_auto and not self.is_derived

    @property
    def may_change(self) -> bool:
        """Whether a run may be continued with another value; what the hash leaves out always may."""
        return self.on_resume == "may_change" or not self.in_hash


def setting(
    doc: str,
    *,
    default: object = MISSING,
    assumed: object = MISSING,
    unit: str = "",
    on_resume: Resume = "must_match",
    in_hash: bool = True,
    derived: bool = False,
    spread: bool = False,
    read_if: tuple[str, tuple[object, ...]] | None = None,
    **bounds: float,
) -> Any:
    """Declare a field.

    Args:
        default: the value when nobody says anything.  Leave out for a required or an automatic field.
        assumed: what an equation takes when it has more than one unknown (never a plain default).
        on_resume: whether a run may be continued with another value.
        in_hash: whether the plan hash covers it.
        derived: the compiler computes it; a spec cannot set it.
        spread: its own fields stand in the surrounding table.
        read_if: a sibling field and the values with which this one is read; with others, setting it is an error.
        bounds: any of ge, gt, le, lt, in the field's unit.
    """
    field = Field(doc)
    field.default, field.assumed, field.unit = default, assumed, unit
    field.on_resume, field.in_hash, field.is_derived, field.spread = on_resume, in_hash, derived, spread
    field.read_if = read_if
    field.bounds = tuple(bounds.items())
    return field


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
class Record:
    """Base of all schema records."""

    spread_fields: ClassVar[tuple[str, ...]] = ()
    _declared: ClassVar[dict[str, Field]] = {}
    _parsed: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declared = dict(cls._declared)
        for name in cls.__dict__.get("__annotations__", {}):
            field = cls.__dict__.get(name)
            if isinstance(field, Field):
                field.name, field.owner = name, cls
                declared[name] = field
                delattr(cls, name)
        cls._declared = declared
        cls.spread_fields = tuple(name for name, field in declared.items() if field.spread)
        cls._parsed = False

    def __init__(self, **values: object) -> None:
        own = self.__dict__
        for name, field in self._declared.items():
            value = values.pop(name, field.default)
            if value is MISSING:
                raise TypeError(f"{type(self).__name__} needs {name}")
            own[name] = value
        if values:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__.items())))

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items())
        return f"{type(self).__name__}({inside})"

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """Return the fields by name, in declared order, their kinds read from the annotations."""
        if not cls._parsed:
            for field in cls._declared.values():
                if not field.kind.atoms:
                    module = sys.modules[field.owner.__module__].__dict__
                    field.kind = parse_annotation(field.owner.__annotations__[field.name], module)
            cls._parsed = True
        return cls._declared

    def replacing(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__.update(changes)
        if len(made.__dict__) != len(self.__dict__):
            raise TypeError(f"{type(self).__name__} has no field {', '.join(changes.keys() - self.__dict__.keys())}")
        return made
