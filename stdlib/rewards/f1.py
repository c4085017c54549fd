"""Token F1 between the response and the label: the harmonic mean of precision and recall over their words.

Both are normalised first: lower case, no punctuation, no articles, single blanks; words count as often as they occur.
Where either side is "yes", "no" or "noanswer", only equality scores.  A label that is a list of texts stands for
several right answers, of which the best counts.  An empty response equals an empty label and nothing else.

Source: Rajpurkar et al., SQuAD, arXiv:1606.05250, sec. 6.1; the rule for yes and no is that of HotpotQA (Yang et al.,
arXiv:1809.09600).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stdlib.samples import JsonValue, Sample

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WHOLE = ("yes", "no", "noanswer")


def reward(sample: Sample) -> float:
    """Return the F1, 0 to 1.  Raises: ValueError if the label is neither a text nor a list of texts."""
    return max(_f1(_words(sample.text), _words(answer)) for answer in _answers(sample.prompt.label))


def _answers(label: JsonValue) -> list[str]:
    given = label if isinstance(label, list) else [label]
    texts = [str(text) for text in given if isinstance(text, str | int | float) and not isinstance(text, bool)]
    if not texts or len(texts) != len(given):
        raise ValueError("the label has to be a text or a list of texts")
    return texts


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(found: list[str], expected: list[str]) -> float:
    if not found or not expected or " ".join(found) in _WHOLE or " ".join(expected) in _WHOLE:
        return float(found == expected)
    num_shared = sum((Counter(found) & Counter(expected)).values())
    return 2 * num_shared / (len(found) + len(expected))
