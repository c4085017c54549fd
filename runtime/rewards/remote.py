"""The reward `remote`: a service of the user's own."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.reward_settings import RemoteReward
from runtime.rewards.asked import AskedTerm
from stdlib.rewards.remote import question, score


def open_term(settings: RemoteReward, *, root: Path) -> AskedTerm:
    """Return the term.  Nothing below `root` is read."""
    del root
    return AskedTerm("remote", settings, question=question, score=lambda reply: score(reply, settings))


def check(settings: RemoteReward, *, root: Path) -> None:
    """Look whether the token is there.  Raises: SpecError RLC0683."""
    open_term(settings, root=root)
