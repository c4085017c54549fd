"""The reward `judge`: a language model behind a chat endpoint."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.reward_settings import JudgeReward
from runtime.rewards.asked import AskedTerm
from stdlib.rewards.judge import question, score


def open_term(settings: JudgeReward, *, root: Path) -> AskedTerm:
    """Return the term.  Nothing below `root` is read."""
    del root
    return AskedTerm(
        "judge",
        settings,
        question=lambda sample: question(sample, settings),
        score=lambda reply: score(reply, settings),
    )


def check(settings: JudgeReward, *, root: Path) -> None:
    """Look whether the token is there.  Raises: SpecError RLC0683."""
    open_term(settings, root=root)
