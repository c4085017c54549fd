"""Token F1, against the examples of its sources and the closed form."""

import pytest

from stdlib.rewards.f1 import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("Denver Broncos", "the Denver Broncos!", 1.0),  # SQuAD, arXiv:1606.05250: articles and punctuation go
        ("gravity", "gravity", 1.0),
        ("the force of gravity", "gravity", 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("a cat sat", "the dog sat", 0.5),
        ("the the the", "a", 1.0),  # nothing is left of either
        ("new york new york", "new york", 2 * 2 / 6),
        ("yes", "Yes.", 1.0),
        ("yes it is", "yes", 0.0),  # HotpotQA, arXiv:1809.09600: yes and no are not words among words
        ("no", "no noanswer", 0.0),
        ("", "gravity", 0.0),
        ("", "", 1.0),
        ("1066", 1066, 1.0),
        ("William", ["Harold", "William the Conqueror"], 2 * 1 / 3),
    ],
)
def test_shared_words_over_all_words(text: str, label: JsonValue, expected: float) -> None:
    assert reward(sample(text, label)) == pytest.approx(expected)


@pytest.mark.parametrize("label", [None, True, [], {"a": 1}, ["a", None]])
def test_a_label_without_texts_is_refused(label: JsonValue) -> None:
    with pytest.raises(ValueError, match="text or a list"):
        reward(sample("a", label))
