"""Schema records: immutable, equal by value, complete, and described by their own declarations."""

from __future__ import annotations

import pytest

from compiler.diagnostics.annotations import Any, Generic, Literal
from compiler.ir.experiment import Experiment
from compiler.ir.kinds import Tokens, parse_annotation
from compiler.ir.openness import AUTO, OFF, A, Off
from compiler.ir.plan import Plan
from compiler.ir.record import MISSING, Record, setting


class Inner(Record):
    width: int = setting("Width.", unit="channels", ge=1)


class Outer(Record, Generic[A]):
    name: str = setting("Name.")
    size: Tokens | A = setting("Size.", unit="tokens", gt=0, le=9)
    mode: Literal["a", "b"] | Off = setting("Mode.", default=OFF)
    inner: Inner = setting("Inner.")
    items: tuple[Inner, ...] = setting("Items.", default=())
    total: int = setting("Total.", derived=True, in_hash=False, on_resume="may_change")


class Wider(Inner):
    height: int = setting("Height.", default=2)


def outer(**changes: Any) -> Outer[object]:
    values: dict[str, Any] = {"name": "n", "size": AUTO, "inner": Inner(width=3), "total": 4}
    return Outer(**{**values, **changes})


def made(record: type[Record], values: dict[str, Any]) -> Record:
    return record(**values)


def test_a_record_cannot_be_changed() -> None:
    record = Inner(width=3)
    for spoil in (
        lambda: setattr(record, "width", 4),
        lambda: setattr(record, "x", 4),
        lambda: delattr(record, "width"),
    ):
        with pytest.raises(AttributeError, match="Inner is frozen"):
            spoil()
    assert record.width == 3


def test_records_compare_by_value_and_by_class() -> None:
    assert outer() == outer()
    assert hash(outer()) == hash(outer())
    assert outer() != outer(inner=Inner(width=4))
    assert Inner(width=1) != Wider(width=1)
    assert Wider(width=1) != Wider(width=1, height=3)


def test_defaults_fill_what_is_left_out_and_nothing_else_is_left_out() -> None:
    assert (outer().mode, outer().items) == (OFF, ())
    with pytest.raises(TypeError, match="Inner needs width"):
        made(Inner, {})
    with pytest.raises(TypeError, match="Inner has no field depth"):
        made(Inner, {"width": 1, "depth": 2})


def test_replacing_returns_a_copy() -> None:
    before = outer()
    after = before.replacing(name="other")
    assert (before.name, after.name) == ("n", "other")
    assert after.inner is before.inner
    with pytest.raises(TypeError, match="has no field nmae"):
        before.replacing(nmae="x")


def test_kinds_are_read_from_the_annotations() -> None:
    fields = Outer.fields()
    kinds = {name: tuple(atom.name for atom in field.kind.atoms) for name, field in fields.items()}
    assert kinds == {
        "name": ("str",),
        "size": ("Tokens", "auto"),
        "mode": ("literal", "off"),
        "inner": ("record",),
        "items": ("list",),
        "total": ("int",),
    }
    assert fields["mode"].kind.values[0].choices == ("a", "b")
    assert fields["inner"].kind.records == (Inner,)
    item = fields["items"].kind.atoms[0].item
    assert item is not None
    assert item.record is Inner


def test_a_field_knows_what_was_declared_of_it() -> None:
    fields = Outer.fields()
    size, total = fields["size"], fields["total"]
    assert (size.doc, size.unit, size.bounds, size.default) == ("Size.", "tokens", (("gt", 0), ("le", 9)), MISSING)
    assert (size.in_hash, size.on_resume, size.is_derived) == (True, "must_match", False)
    assert (total.in_hash, total.on_resume, total.is_derived) == (False, "may_change", True)
    assert [name for name, field in fields.items() if field.is_required] == ["name", "inner"]


def test_a_subclass_adds_fields_behind_those_of_its_base() -> None:
    assert list(Wider.fields()) == ["width", "height"]
    assert list(Inner.fields()) == ["width"]


def test_a_type_that_the_schema_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="the schema cannot hold dict"):
        parse_annotation("dict[str, int]", {"dict": dict})


def records(root: type[Record]) -> set[type[Record]]:
    found: set[type[Record]] = set()
    waiting = [root]
    for record in waiting:  # grows while it is read
        if record not in found:
            found.add(record)
            for field in record.fields().values():
                for atom in field.kind.atoms:
                    waiting += [r for r in (atom.record, atom.item and atom.item.record) if r is not None]
    return found


def test_every_field_of_the_schema_has_a_doc_line_and_says_its_unit_in_its_kind_or_beside_it() -> None:
    assert {Experiment, Plan} <= records(Plan)
    for record in records(Plan):
        for name, field in record.fields().items():
            assert field.doc.endswith("."), (record, name)
            if any(atom.name in ("Tokens", "Bytes", "Seconds") for atom in field.kind.atoms):
                assert field.unit, (record, name)
