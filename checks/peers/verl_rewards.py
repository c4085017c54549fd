"""Verdicts of `verl.utils.reward_score` beside ours: the share of answers on which they differ."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from verl.utils.reward_score import math_dapo, math_reward

from checks.peers.answers import answers, sample
from checks.peers.ledger import Ledger
from compiler.ir.reward_settings import DapoReward, MathReward
from stdlib.rewards import dapo, math

_TEXT = MathReward(compare="text")
_MINERVA = DapoReward(spelling="minerva", unanswered="boxed")
_BOXES = (
    "\\boxed{%s}",
    "so $\\boxed{%s}$.",
    "\\boxed{1} no, \\boxed{%s}",
    "it is $\\boxed %s$ then",
    "\\fbox{%s}",
    "%s",
)
_LINES = ("Answer: %s", "thus\nanswer : \\boxed{%s}\n", "Answer: 1\nAnswer: $%s$", "so \\boxed{%s}", "%s")


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the verdicts on one draw of answers against each other."""
    for answer, label in answers(seed):
        for form in _BOXES:
            text = form % answer
            with redirect_stdout(StringIO()):  # it prints what it could not spell
                theirs = float(math_reward.compute_score(text, label))
            ours = math.reward(sample(text, label), _TEXT)
            ledger.enter("verl math_reward.compute_score, verdicts", float(ours != theirs))
        for form in _LINES:
            text = form % answer
            theirs = math_dapo.compute_score(text, label)["score"]
            ours = dapo.reward(sample(text, label), _MINERVA)
            ledger.enter("verl math_dapo.compute_score, verdicts", float(ours != theirs))
