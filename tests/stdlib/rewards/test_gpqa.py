"""Which letter a response chooses."""

import time

import pytest

from stdlib.rewards.gpqa import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The correct answer is (C)", "C"),  # GPQA, arXiv:2311.12022: the form that its prompt asks for
        ("The answer is clearly B", "B"),  # not the C of "clearly"
        ("The answer is **B**.", "B"),
        ("Answer: D", "D"),
        ("Final Answer: $\\boxed{D}$", "D"),
        ("so \\boxed{\\text{B}}", "B"),
        ("I choose option D", "D"),
        ("First I thought the answer is A. No: the answer is B.", "B"),
        ("<think>The answer is A.</think>The answer is B.", "B"),
        ("It boils.\nB", "B"),
        ("reasons\nB) because of entropy", "B"),
        ("Only D can be.", "D"),
    ],
)
def test_the_letter_that_is_chosen(text: str, right: str) -> None:
    assert reward(sample(text, right)) == 1.0
    assert reward(sample(text, "A" if right != "A" else "B")) == 0.0


@pytest.mark.parametrize("text", ["", "a cat", "A or B, I do not know", "<think>The answer is A.</think>", "Answer: E"])
def test_a_response_that_chooses_none_is_wrong(text: str) -> None:
    assert [reward(sample(text, letter)) for letter in "ABCD"] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("label", ["B", "(b)", 1, "two electrons"])
def test_the_label_is_a_letter_an_index_or_a_text(label: JsonValue) -> None:
    metadata: JsonValue = {"choices": ["one electron", "Two electrons.", "none"]}
    assert reward(sample("The answer is B", label, metadata)) == 1.0
    assert reward(sample("There are two electrons in it", label, metadata)) == 1.0
    assert reward(sample("The answer is D", label, metadata)) == 0.0


def test_letters_that_may_be_chosen_can_be_named() -> None:
    assert reward(sample("The answer is J", "J", {"valid_letters": ["H", "J"]})) == 1.0
    assert reward(sample("The answer is A, or J?", "J", {"valid_letters": "HJ"})) == 1.0


@pytest.mark.parametrize(("label", "metadata"), [("E", None), (4, None), (None, None), (True, None), ("heavy", {})])
def test_a_label_that_names_no_choice_is_refused(label: JsonValue, metadata: JsonValue) -> None:
    with pytest.raises(ValueError, match="is no letter of ABCD"):
        reward(sample("A", label, metadata))


@pytest.mark.parametrize("text", ["answer" + " " * 200_000, "\n" * 200_000, "answer is" * 20_000, "(" * 200_000 + "x"])
def test_no_response_takes_long(text: str) -> None:
    start = time.process_time()
    assert reward(sample(text, "A")) == 0.0
    assert time.process_time() - start < 5
