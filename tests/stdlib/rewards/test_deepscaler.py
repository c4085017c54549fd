"""The boxed answer behind the thinking."""

import pytest

from stdlib.rewards.deepscaler import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("<think>Hm.</think> The answer is \\boxed{24 + 14*(-1)^{k}}", "10", 0.0),
        ("<think>\\boxed{3}</think> \\boxed{42}", "42", 1.0),
        ("<think>\\boxed{42}</think> It is 42.", "42", 0.0),
        ("\\boxed{42}", "42", 0.0),  # neither of the two marks
        ("Hm. ###Response \\boxed{42}", "42", 1.0),
        ("</think>\\boxed{42}", "so \\boxed{42}", 1.0),
        ("</think>\\boxed{42}", 42, 1.0),
        ("</think>\\boxed{0.5}", "\\frac{1}{2}", 1.0),
        ("</think>\\boxed{\\frac{2}{4}}", "1/2", 1.0),
        ("</think>\\boxed{x+1}", "1+x", 1.0),
        ("</think>\\boxed{2}", ["1", "2"], 1.0),
        ("</think>\\boxed{}", "2", 0.0),
        ("</think>\\boxed{2", "2", 0.0),
        ("", "2", 0.0),
    ],
)
def test_text_first_and_then_value(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label)) == expected


@pytest.mark.parametrize("label", [None, True, [], [None]])
def test_a_label_without_an_answer_is_refused(label: JsonValue) -> None:
    with pytest.raises(ValueError, match="the label"):
        reward(sample("</think>\\boxed{1}", label))
