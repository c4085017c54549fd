r"""Mathematical equality of the final answer and the label, judged by math-verify.

The final answer is the last `\boxed{...}` of the response, else the last expression in it; boxes that follow each other
within a few words are one answer, a set, so that a policy cannot box every guess.  Fractions, decimals, percentages,
units, sets, intervals and algebraic forms are compared by value.  A response without an expression scores 0.  Powers
such as 9^9^9 keep computer algebra busy for ever, hence the isolation.

Frameworks differ here: graders that compare texts take 42.0, 1,234 and 42 cm for other answers than 42, 1234 and 42, or
miss `\boxed 42`.  This one compares values and takes all of them; a decimal that is cut, 0.333 for 1/3, is wrong.
`reward.math.compare = "text"` is the grader of MATH instead, as verl has it.

Source: Kydlicek, math-verify 0.9, the grader of Open R1; the comparison of texts: Hendrycks et al., MATH,
arXiv:2103.03874.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from stdlib.rewards._isolation import Isolation
from stdlib.rewards._published_spellings import hendrycks_answer, hendrycks_equal

if TYPE_CHECKING:
    from compiler.ir.reward_settings import MathReward
    from stdlib.samples import JsonValue, Sample

ANSWER = "boxed"
ISOLATION = Isolation(score=0.0, memory_gib=4, imports=("math_verify",))

# math-verify reads the e of 1e-7 as Euler's number, and knows only the hyphen as a minus sign.
_SCIENTIFIC = re.compile(r"(?<![\w.])\d+(?:\.\d+)?[eE][+-]?\d{1,2}(?![\w.]*\w)")
_MINUS = "\u2212"


def reward(sample: Sample, settings: MathReward) -> float:
    """Return 1.0 or 0.0.  Raises: ValueError if the label is no text and no number, or by value no expression."""
    if settings.compare == "text":
        said, expected = hendrycks_answer(sample.text), _text_of(sample.prompt.label)
        return float(said is not None and hendrycks_equal(said, expected))
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    label = _label_text(sample.prompt.label)
    forms = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    # Its own timeouts are signals, which only the main thread receives; the isolation ends what does not end.
    gold = parse(label, forms, parsing_timeout=0)
    if not gold:
        raise ValueError(f"the label {sample.prompt.label!r} is not a mathematical expression")
    answer = parse(_plain(sample.text), forms, parsing_timeout=0)
    return float(verify(gold, answer, timeout_seconds=0))


def _text_of(label: JsonValue) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError("the label has to be a text or a number")
    return label if isinstance(label, str) else json.dumps(label)


def _label_text(label: JsonValue) -> str:
    text = _plain(_text_of(label)).strip()
    return text if "$" in text or "\\boxed" in text else f"\\boxed{{{text}}}"


def _plain(text: str) -> str:
    return _SCIENTIFIC.sub(lambda m: format(Decimal(m[0]), "f"), text.replace(_MINUS, "-"))
