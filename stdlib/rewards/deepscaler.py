r"""The boxed answer behind the thinking, compared with the label as text and then as mathematics.

What is judged stands behind the last `</think>`, or behind `###Response` where there is no such tag; without either
the response scores 0, and so it does without a `\boxed{...}` there.  The label is a number, a text, a text that holds a
box, or a list of these, of which any may match.  Equal spelling scores 1 at once; else math-verify compares the values,
in a process of its own, since powers such as 9^9^9 keep computer algebra busy for ever.

Source: Luo et al., DeepScaleR (2025), whose reward tries the text comparison of MATHD (Hendrycks et al.,
arXiv:2103.03874) and then sympy.  A comparison by math-verify takes the place of the latter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from stdlib.rewards._answers import normal_answer
from stdlib.rewards._boxed import last_boxed
from stdlib.rewards._isolation import Isolation

if TYPE_CHECKING:
    from stdlib.samples import JsonValue, Sample

ISOLATION = Isolation(score=0.0, memory_gib=4, imports=("math_verify",))

_THOUGHT, _RESPONSE = "</think>", "###Response"


def reward(sample: Sample) -> float:
    """Return 1.0 or 0.0.  Raises: ValueError if the label holds neither a text nor a number."""
    label = sample.prompt.label
    expected = [_expected(one) for one in (label if isinstance(label, list) else [label])]
    if not expected:
        raise ValueError("the label is an empty list")
    answer = _answer(sample.text)
    if answer is None:
        return 0.0
    return float(any(_is_equal(answer, one) for one in expected))


def _answer(text: str) -> str | None:
    for mark in (_THOUGHT, _RESPONSE):
        if mark in text:
            return last_boxed(text.rpartition(mark)[2])
    return None


def _expected(label: JsonValue) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError("the label has to be a text or a number, or a list of these")
    text = label if isinstance(label, str) else json.dumps(label)
    return last_boxed(text) or text


def _is_equal(answer: str, expected: str) -> bool:
    if normal_answer(answer) == normal_answer(expected):
        return bool(answer)
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    forms = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    # Its own timeouts are signals, which only the main thread receives; the isolation ends what does not end.
    gold = parse(f"\\boxed{{{expected}}}", forms, parsing_timeout=0)
    found = parse(f"\\boxed{{{answer}}}", forms, parsing_timeout=0)
    return bool(gold and found and verify(gold, found, timeout_seconds=0))
