"""Places in the units of the Language Server Protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.span import SourceFile, Span
from rlc.editor.positions import Position, Units, offset_of, position_of, range_of

# One code point outside the basic plane: two UTF-16 units, four bytes of UTF-8.
TEXT = SourceFile("spec.toml", 'a = 1\nb = "\U0001f600x"\n')


@pytest.mark.parametrize(("units", "column"), [("utf-16", 7), ("utf-32", 6), ("utf-8", 9)])
def test_a_column_behind_a_wide_character_counts_its_units(units: Units, column: int) -> None:
    offset = TEXT.text.index("x")
    assert position_of(TEXT, offset, units) == Position(1, column)
    assert offset_of(TEXT, Position(1, column), units) == offset


def test_a_span_is_two_places() -> None:
    assert range_of(Span(TEXT, 6, 7), "utf-16") == (Position(1, 0), Position(1, 1))


def test_a_place_beyond_the_text_is_its_end() -> None:
    assert offset_of(TEXT, Position(99, 0), "utf-16") == len(TEXT.text)
    assert offset_of(TEXT, Position(0, 99), "utf-16") == 5


@given(st.text(alphabet="ab\n\u00e9\u20ac\U0001f600", max_size=30), st.data())
def test_an_offset_survives_the_way_to_the_editor_and_back(text: str, data: st.DataObject) -> None:
    source = SourceFile("t", text)
    offset = data.draw(st.integers(0, len(text)))
    for units in ("utf-8", "utf-16", "utf-32"):
        assert offset_of(source, position_of(source, offset, units), units) == offset
