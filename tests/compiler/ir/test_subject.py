"""Literals: what a fix or a page writes as TOML is read back by TOML as the same value."""

from __future__ import annotations

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.subject import toml_literal

SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()


@given(SCALARS | st.lists(SCALARS))
def test_a_literal_is_read_back_as_the_same_value(value: object) -> None:
    assert tomli.loads(f"value = {toml_literal(value)}") == {"value": value}


@pytest.mark.parametrize(
    ("text", "literal"),
    [("a\nb", r'"a\nb"'), ('"', r'"\""'), ("\\", r'"\\"'), ("\x7f", r'"\u007f"'), ("\u00e9", '"\u00e9"')],
)
def test_a_text_stays_on_one_line(text: str, literal: str) -> None:
    assert toml_literal(text) == literal
