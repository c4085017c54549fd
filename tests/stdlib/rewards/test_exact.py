"""The exact reward, case by case."""

import pytest

from stdlib.rewards.exact import reward
from stdlib.samples import JsonValue, Prompt, Sample, SampleId


def sample(text: str, label: JsonValue) -> Sample:
    prompt = Prompt(row=0, source="d.jsonl:1", text="", tokens=(1,), label=label)
    name = SampleId(stage=0, step=0, group=0, sample=0)
    return Sample(id=name, prompt=prompt, segments=(), text=text, finish="stop")


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("42", "42", 1.0),
        (" 42\n", "42", 1.0),
        ("42", " 42 ", 1.0),
        ("42", 42, 1.0),
        ("4.5", 4.5, 1.0),
        ("42.0", 42, 0.0),
        ("4 2", "42", 0.0),
        ("", "42", 0.0),
        ("YES", "yes", 0.0),
    ],
)
def test_only_white_space_at_the_ends_is_forgiven(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label)) == expected


@pytest.mark.parametrize("label", [None, True, ["42"], {"a": 1}])
def test_a_label_that_is_neither_text_nor_number_is_refused(label: JsonValue) -> None:
    with pytest.raises(ValueError, match="text or a number"):
        reward(sample("42", label))
