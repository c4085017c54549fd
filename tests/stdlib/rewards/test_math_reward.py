"""The math reward: answers that are equal by value, and those that only look so."""

import pytest

from compiler.ir.reward_settings import MathReward
from stdlib.rewards.math import reward
from stdlib.samples import JsonValue, Prompt, Sample, SampleId


def sample(text: str, label: JsonValue) -> Sample:
    prompt = Prompt(row=0, source="d.jsonl:1", text="", tokens=(1,), label=label)
    name = SampleId(stage=0, step=0, group=0, sample=0)
    return Sample(id=name, prompt=prompt, segments=(), text=text, finish="stop")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("so the answer is 5", "5"),
        ("\\boxed{5}", 5),
        ("11/2", 5.5),
        ("\\boxed{\\frac{1}{2}}", "1/2"),
        ("0.75", "\\frac{3}{4}"),
        ("\\boxed{12\\text{ cm}}", "12"),
        ("\\boxed{12}", "12 cm"),
        ("0.5", "50%"),
        ("1234", "1,234"),
        ("\u22123", "-3"),
        ("$1+x$", "x+1"),
        ("\\boxed{(1,2)}", "(1,2)"),
        ("$2^{1/2}$", "\\sqrt{2}"),
        ("1000", "1e3"),
        ("1e-7", 1e-7),
        ("15000000000", 1.5e10),
        ("7", "$7$"),
        ("\\boxed{7}", "\\boxed{7}"),
        ("72", "Adding up gives #### 72"),
        ("First I guessed 4. The check shows otherwise, so it is \\boxed{5}. Check: 3+2", "5"),
    ],
)
def test_equal_values_score_one(text: str, label: JsonValue) -> None:
    assert reward(sample(text, label), MathReward()) == 1.0


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("", "5"),
        ("no idea", "5"),
        ("6", "5"),
        ("I first thought 5. So the answer is 6", "5"),
        ("\\boxed{5", "5"),
        ("1e-7", 1),
        ("\\boxed{\\infty}", "5"),
        ("\\boxed{4} or \\boxed{5}", "5"),
        ("$x+1$", "x-1"),
    ],
)
def test_other_answers_score_zero(text: str, label: JsonValue) -> None:
    assert reward(sample(text, label), MathReward()) == 0.0


@pytest.mark.parametrize("label", [None, True, [5], ""])
def test_a_label_without_mathematics_is_refused(label: JsonValue) -> None:
    with pytest.raises(ValueError, match="label"):
        reward(sample("5", label), MathReward())


# The pairs of the tests that come with MATH's grader, and what frameworks differ on.
@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("so \\boxed{\\tfrac{1}{2}}", "0.5", 1.0),
        ("\\boxed{\\frac12}", "\\frac{1}{2}", 1.0),
        ("\\boxed{1/2}", "\\dfrac{1}{2}", 1.0),
        ("\\boxed{x=5}", "5", 1.0),
        ("\\boxed{\\sqrt3}", "\\sqrt{3}", 1.0),
        ("\\boxed{30^\\circ}", "30", 1.0),
        ("\\boxed{10\\%}", "10", 1.0),
        ("\\boxed{5 \\text{ cm}}", "5", 1.0),
        ("\\boxed{\\left(1, 2\\right)}", "(1,2)", 1.0),
        ("first \\boxed{1}, no: \\boxed{2}", 2, 1.0),
        ("it is $\\boxed 42$.", "42", 1.0),
        ("\\boxed{.5}", "0.5", 1.0),
        ("\\boxed{42.0}", "42", 0.0),
        ("\\boxed{1,234}", "1234", 0.0),
        ("\\boxed{x+1}", "1+x", 0.0),
        ("\\boxed{5", "5", 0.0),
        ("5", "5", 0.0),
        ("\\fbox{5}", "5", 0.0),
    ],
)
def test_texts_are_compared_as_maths_own_grader_does(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label), MathReward(compare="text")) == expected


def test_values_take_what_texts_do_not() -> None:
    for text, label in (("\\boxed{42.0}", "42"), ("\\boxed{1,234}", "1234"), ("\\boxed{x+1}", "1+x")):
        assert reward(sample(text, label), MathReward()) == 1.0
