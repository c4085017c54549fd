"""What of a response is its vote."""

from __future__ import annotations

import pytest

from runtime.answers import answer_of


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        ("text", "  so 12 \n", "so 12"),
        ("text", " \n", None),
        ("boxed", r"first \boxed{1}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("boxed", r"\boxed{ x + 1 }", "x+1"),
        ("boxed", r"\boxed{7} and \boxed{8 is not closed", "7"),
        ("boxed", "12", None),
        ("boxed", r"\boxed{}", None),
        ("last_number", "3 apples and 1,250.50 pears", "1250.5"),
        ("last_number", "x = -4.", "-4"),
        ("last_number", "100", "100"),
        ("last_number", "0.0", "0"),
        ("last_number", "none", None),
        ("last_number", "in 2024, 18", "18"),
    ],
)
def test_an_answer_is_found(kind: str, text: str, answer: str | None) -> None:
    assert answer_of(text, kind) == answer


def test_a_long_response_without_a_closed_box_is_quick() -> None:
    assert answer_of(r"\boxed{" * 2000, "boxed") is None
