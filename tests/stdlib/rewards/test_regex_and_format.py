"""Patterns and tags, and boxes."""

import pytest

from compiler.ir.reward_settings import FormatReward, RegexReward
from stdlib.rewards import format as tagged
from stdlib.rewards._boxed import last_boxed
from stdlib.rewards.regex import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [("[0-9]+", "abc 12", 1.0), ("[0-9]+", "abc", 0.0), ("^a$", "a\nb", 0.0), ("", "", 1.0), ("x", "X", 0.0)],
)
def test_a_pattern_is_searched_for(pattern: str, text: str, expected: float) -> None:
    assert reward(sample(text), RegexReward(pattern=pattern)) == expected


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [("is 1, no: is 2", "2", 1.0), ("is 2, no: is 1", "2", 0.0), ("is 2", 2, 1.0), ("2", "2", 0.0), ("", "2", 0.0)],
)
def test_the_last_group_can_be_held_against_the_label(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label), RegexReward(pattern="is ([0-9])", compare="label")) == expected
    assert reward(sample("IS 2", "2"), RegexReward(pattern="is (.)", compare="label", ignore_case=True)) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>so</think><answer>4</answer>", 1.0),  # DeepSeek-R1, arXiv:2501.12948, table 1
        (" <think>so</think>\n<answer>4</answer>\n", 1.0),
        ("<think>so</think>", 0.0),
        ("<answer>4</answer><think>so</think>", 0.0),
        ("<think>so</think> hm <answer>4</answer>", 0.0),
        ("<think>so</think><answer>4</answer>!", 0.0),
        ("<think>so<think></think><answer>4</answer>", 0.0),
        ("<think> </think><answer>4</answer>", 0.0),
        ("<think>so<answer>4</answer></think>", 0.0),
        ("", 0.0),
    ],
)
def test_tags_stand_once_and_in_order(text: str, expected: float) -> None:
    assert tagged.reward(sample(text), FormatReward()) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed {\\{1\\}}", "\\{1\\}"),
        ("\\fbox{3}", "3"),
        ("$\\boxed 42$", "42"),  # verl takes it
        ("\\boxed{4", None),
        ("boxed{4}", None),
        ("\\boxedx{4}", None),
        ("", None),
    ],
)
def test_the_last_box(text: str, found: str | None) -> None:
    assert last_boxed(text) == found
