"""A majority vote knows what is voted on.

What: a set that measures cons@k says what of a response is its answer, or has a reward of the standard library that
does.
Why it matters: two responses agree if their answers do, and hardly ever word by word.  With the wrong part of the text
every response is alone with its vote, and cons@k is the accuracy of one response.
Example: `eval.metrics = ["cons"]` with `reward.name = "judge.py:reward"`.
Fix: `eval.answer = "boxed"`, `"last_number"` or `"text"`.
Source: EVAL-03; Wang et al. 2022 (arXiv:2203.11171) vote on parsed answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.openness import OFF, Off
from compiler.ir.subject import Subject
from compiler.rules._eval_sets import eval_sets, fix_set, said_at

CODE = "RLC0372"
ID = "EVAL-03"

_CHOICES = ("boxed", "last_number", "text")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report votes without an answer."""
    for stage, at, measured in eval_sets(subject):
        votes = isinstance(measured.metrics, tuple) and "cons" in measured.metrics
        if not votes or measured.answer is not OFF:
            continue
        asked, field = said_at(stage, at, "metrics"), said_at(stage, at, "answer")
        reward = "reward.name" if isinstance(measured.reward, Off) else f"eval.sets.{at}.reward.name"
        yield Diagnostic(
            CODE,
            f"nothing says what of a response to {measured.name} its vote is",
            stage.labels(
                (reward, "does not say what it takes for the answer"),
                (field, "takes no part of it"),
                (asked, "counts votes"),
            ),
            alternatives(*(fix_set(stage, field, choice) for choice in _CHOICES)),
            rule=ID,
            paths=(stage.path(asked), stage.path(field)),
        )
