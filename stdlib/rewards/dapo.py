r"""The final answer behind "Answer:" at the end of the response, compared with the label as text.

Only the last `reward.dapo.tail_characters` count, 300 unless set, and of the lines there that hold "Answer:" in any
case the last one.  Both sides are brought into one spelling (units, LaTeX that only lays out, fractions, thousands) and
compared as texts: 42.9 is not 42, which an implementation that cuts labels to whole numbers cannot tell
(`label = "integer"` is that one).  A right answer scores 1, anything else `reward.dapo.wrong_score`, -1 unless set.

Source: Yu et al., DAPO, arXiv:2503.14476, sec. 2.4 and the prompt of its data set, which asks for a last line of the
form "Answer: \boxed{...}" or "Answer: ..."; spelling as in Lewkowycz et al., arXiv:2206.14858, appendix D.1.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from stdlib.rewards._answers import normal_answer
from stdlib.rewards._boxed import last_boxed
from stdlib.rewards._published_spellings import hendrycks_answer, minerva_spelling

if TYPE_CHECKING:
    from compiler.ir.reward_settings import DapoReward
    from stdlib.samples import Sample

_BOX_CHARACTERS = 100
_ANSWER = re.compile(r"answer\s*:[ \t]*([^\n]+)", re.IGNORECASE)


def reward(sample: Sample, settings: DapoReward) -> float:
    """Return 1.0 or wrong_score.  Raises: ValueError for a label that is no text and no number, or cannot be cut."""
    label = sample.prompt.label
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError("the label has to be a text or a number")
    expected = label if isinstance(label, str) else json.dumps(label)
    if settings.label == "integer":
        expected = str(int(float(expected)))
    tail = sample.text[-settings.tail_characters :]
    found = _ANSWER.findall(tail)
    if found:
        is_right = _is_equal(found[-1], expected, settings)
    else:
        is_right = settings.unanswered == "boxed" and _last_box(tail[-_BOX_CHARACTERS:]) == expected
    return 1.0 if is_right else settings.wrong_score


def _is_equal(answer: str, expected: str, settings: DapoReward) -> bool:
    if settings.spelling == "minerva":
        return minerva_spelling(answer) == minerva_spelling(expected)
    boxed = last_boxed(answer)
    return normal_answer(answer if boxed is None else boxed) == normal_answer(expected)


def _last_box(text: str) -> str | None:
    # A box without braces is none here.
    return hendrycks_answer(text.replace("\\boxed ", ""))
