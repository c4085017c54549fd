"""The quick named tuples, held against the library's."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from compiler.diagnostics.named_tuple import NamedTuple


class Quick(NamedTuple):
    """A quick one."""

    a: int
    b: str = "x"

    @property
    def doubled(self) -> int:
        """Twice a."""
        return 2 * self.a


class Library(typing.NamedTuple):
    """The library's."""

    a: int
    b: str = "x"


class Heir(Quick):
    """A class that inherits fields and has none of its own."""


def test_both_hold_the_same_and_say_so() -> None:
    for quick, library in (
        (Quick(1), Library(1)),
        (Quick(1, "y"), Library(1, "y")),
        (Quick(b="z", a=3), Library(3, "z")),
    ):
        assert tuple(quick) == tuple(library)
        assert (quick.a, quick.b, quick[0], quick[-1]) == (library.a, library.b, library[0], library[-1])
        assert repr(quick) == repr(library).replace("Library", "Quick")
        assert hash(quick) == hash(library)
    assert Quick._fields == Library._fields


def test_a_field_is_replaced_in_a_copy() -> None:
    first = Quick(1, "y")
    assert first._replace(a=2) == Quick(2, "y")
    assert first == Quick(1, "y")
    assert first._replace(a=2).doubled == 4


def test_copies_and_pickles_are_equal_and_of_the_same_class() -> None:
    first = Quick(1, "y")
    for other in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert other == first
        assert type(other) is Quick


def test_an_heir_keeps_the_fields() -> None:
    assert Heir(5).doubled == 10
    assert Heir(5)._replace(b="q") == (5, "q")


def test_it_cannot_be_changed_and_matches_by_position() -> None:
    first = Quick(1)
    with pytest.raises(AttributeError):
        first.__setattr__("a", 2)
    match first:
        case Quick(1, b):
            assert b == "x"
        case _:
            pytest.fail("no match")


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, "y", 2), {}), ((1,), {"c": 2}), ((1,), {"a": 2})])
def test_values_that_do_not_fit_are_a_type_error_in_both(values: tuple[object, ...], named: dict[str, object]) -> None:
    for kind in (Quick, Library):
        made: typing.Any = kind
        with pytest.raises(TypeError):
            made(*values, **named)
