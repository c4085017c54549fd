r"""The final answer behind "Answer:" at the end of the response, compared with the label as text.

Only the last `reward.dapo.tail_characters` count, 300 unless set, and of the lines there that hold "Answer:" in any
case the last one.  Both sides are brought into one spelling (units, LaTeX that only lays out, fractions, thousands) and
compared as texts: 42.9 is not 42, which an implementation that cuts labels to whole numbers cannot tell.  A right
answer scores 1, anything else `reward.dapo.wrong_score`, -1 unless set.

Source: Yu et al., DAPO, arXiv:2503.14476, sec. 2.4 and the prompt of its data set, which asks for a last line of the
form "Answer: \boxed{...}" or "Answer: ..."; spelling as in Lewkowycz et al., arXiv:2206.14858, appendix D.1.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from stdlib.rewards._answers import normal_answer
from stdlib.rewards._boxed import last_boxed

if TYPE_CHECKING:
    from compiler.ir.reward_settings import DapoReward
    from stdlib.samples import Sample

_ANSWER = re.compile(r"answer\s*:[ \t]*([^\n]+)", re.IGNORECASE)


def reward(sample: Sample, settings: DapoReward) -> float:
    """Return 1.0 or wrong_score.  Raises: ValueError if the label is neither a text nor a number."""
    label = sample.prompt.label
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError("the label has to be a text or a number")
    expected = normal_answer(label if isinstance(label, str) else json.dumps(label))
    found = _ANSWER.findall(sample.text[-settings.tail_characters :])
    if not found:
        return settings.wrong_score
    boxed = last_boxed(found[-1])
    said = normal_answer(found[-1] if boxed is None else boxed)
    return 1.0 if said == expected else settings.wrong_score
