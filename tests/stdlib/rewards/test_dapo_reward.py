"""The answer behind "Answer:", compared as text."""

import pytest

from compiler.ir.reward_settings import DapoReward
from stdlib.rewards.dapo import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample

SETTINGS = DapoReward()


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("thus\nAnswer: 34", "34", 1.0),  # the form that the prompt of DAPO-Math-17k asks for
        ("thus\nAnswer: \\boxed{34}", "34", 1.0),
        ("Answer: 35\nNo.\nAnswer: 34", 34, 1.0),
        ("answer : $34$.", "34", 1.0),
        ("Answer: 34", "35", -1.0),
        ("34", "34", -1.0),
        ("", "34", -1.0),
        ("Answer: 42.9", 42, -1.0),  # a label that is cut to a whole number would take it
        ("Answer: 42", 42.9, -1.0),
        ("Answer: x", "x", 1.0),  # and a text is no fault
        ("Answer: 1,234", "1234", 1.0),
        ("Answer: \\frac12", "\\frac{1}{2}", 1.0),
        ("Answer: 1/2", "\\dfrac{1}{2}", 1.0),
        ("Answer: 90^\\circ", "90", 1.0),
        ("Answer: 7 \\text{ cm}", "7", 1.0),
        ("Answer: x = 5", "5", 1.0),
        ("Answer: 5.0", "5", 1.0),
        ("Answer: \\sqrt2", "\\sqrt{2}", 1.0),
        ("Answer: .5", "0.5", 1.0),
    ],
)
def test_one_spelling_for_each_answer(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label), SETTINGS) == expected


def test_only_the_end_of_a_response_counts() -> None:
    assert reward(sample("Answer: 34" + " " * 290, "34"), SETTINGS) == 1.0
    assert reward(sample("Answer: 34" + " " * 300, "34"), SETTINGS) == -1.0
    assert reward(sample("Answer: 34" + " " * 300, "34"), DapoReward(tail_characters=310)) == 1.0


def test_what_a_wrong_answer_scores_is_a_setting() -> None:
    assert reward(sample("Answer: 1", "2"), DapoReward(wrong_score=0.0)) == 0.0


def test_a_label_that_is_neither_text_nor_number_is_refused() -> None:
    with pytest.raises(ValueError, match="text or a number"):
        reward(sample("Answer: 1", None), SETTINGS)


def test_a_label_may_be_cut_to_a_whole_number() -> None:
    cut = DapoReward(label="integer")
    assert reward(sample("Answer: 42", 42.9), cut) == 1.0
    assert reward(sample("Answer: 42", "42.0"), cut) == 1.0
    assert reward(sample("Answer: 42.9", 42.9), cut) == -1.0
    with pytest.raises(ValueError, match="x"):
        reward(sample("Answer: x", "x"), cut)


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("Answer: \\boxed{34}", "34", 1.0),
        ("Answer: $\\frac12$", "\\frac{1}{2}", 1.0),
        ("Answer: 10 km", "10", 1.0),
        ("Answer: x = 5", "5", 1.0),
        ("Answer: 1,234", "1234", 1.0),
        ("Answer: a ball", "ball", 1.0),
        ("Answer: 5.0", "5", -1.0),
        ("Answer: \\dfrac{1}{2}", "\\frac{1}{2}", -1.0),
    ],
)
def test_the_spelling_may_be_exactly_that_of_minerva(text: str, label: str, expected: float) -> None:
    assert reward(sample(text, label), DapoReward(spelling="minerva")) == expected


def test_a_box_may_stand_for_an_answer_that_nobody_announced() -> None:
    boxed = DapoReward(unanswered="boxed")
    assert reward(sample("so \\boxed{34}", "34"), boxed) == 1.0
    assert reward(sample("so \\boxed{34.0}", "34"), boxed) == -1.0
    assert reward(sample("so \\boxed{34}" + " " * 91, "34"), boxed) == -1.0
    assert reward(sample("Answer: 35\nnot \\boxed{34}", "34"), boxed) == -1.0
    assert reward(sample("so \\boxed{34}", "34"), SETTINGS) == -1.0
