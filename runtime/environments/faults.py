"""What ends an episode, and what is counted of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

Ending = Literal["", "max_turns", "max_tokens", "cut", "tool", "malformed", "failure", "timeout"]

TIMEOUT, RAISED, MALFORMED, FAILED, LATE, CUT = "RLC0741", "RLC0742", "RLC0745", "RLC0743", "RLC0744", "RLC0750"

# What is counted of episodes, by the end of its metric.
COUNTS = {
    "tool_calls": "",
    "tool_refusals": "",
    "tool_timeouts": TIMEOUT,
    "tool_errors": RAISED,
    "malformed_calls": MALFORMED,
    "truncated_observations": CUT,
    "episode_failures": FAILED,
    "episode_timeouts": LATE,
}
ENDINGS = {"max_turns": "episodes_at_max_turns", "max_tokens": "episodes_at_max_tokens", "cut": "episodes_cut"}


class EpisodeOverError(Exception):
    """An episode has ended; `failure` says why where something failed."""

    def __init__(self, ended_by: Ending, failure: str = "") -> None:
        super().__init__(ended_by, failure)
        self.ended_by: Ending = ended_by
        self.failure = failure


@dataclass(kw_only=True, slots=True)
class Tally:
    """What is counted of one episode, and the last thing of each kind in words."""

    counts: Counter[str] = field(default_factory=Counter)
    last: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, words: str = "") -> None:
        """Count something."""
        self.counts[name] += 1
        if words:
            self.last[name] = words


def ends_run(code: str, words: str, *, path: str) -> SpecError:
    """Return the fault of a run whose plan says that such a failure ends it."""
    way = Help(f'mend it, or let the run go on with {path} = "end_episode"')
    return SpecError(Diagnostic(code, words, help=(way,), paths=(path,)))
