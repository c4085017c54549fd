"""Judgements that failed: what went wrong, and how it is said where it ends the run."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError

Kind = Literal["raised", "late", "value", "service", "empty"]

_CODES: dict[Kind, str] = {
    "raised": "RLC0612",
    "late": "RLC0613",
    "value": "RLC0614",
    "service": "RLC0680",
    "empty": "RLC0696",
}
_WAYS: dict[Kind, str] = {
    "raised": "a reward returns a number for every response, also for one that it cannot read",
    "late": "make the function faster, or raise reward.timeout_s; a run may resume with another timeout",
    "value": "return a finite float for a sample, a list of them for a group, a list of lists for a batch",
    "service": "look at the service; a run may resume with another url, and with more attempts",
    "empty": 'see why the policy ends at once, or set reward.empty_responses = "judge": the reward then decides',
}


class JudgementError(Exception):
    """A judgement that came to no score.

    `words` say it behind the name of the reward; `label` is the line of its file that took part, if any did.
    """

    def __init__(self, kind: Kind, name: str, words: str, label: tuple[Label, ...] = ()) -> None:
        super().__init__(kind, name, words)
        self.kind: Kind = kind
        self.name = name
        self.words = words
        self.label = label

    @override
    def __str__(self) -> str:
        return f"reward {self.name} {self.words}"

    @property
    def code(self) -> str:
        """The code of the error that ends the run, or of the warning where it goes on."""
        return _CODES[self.kind]

    def to_error(self) -> SpecError:
        """Return the error that ends the run."""
        paths = {
            "late": ("reward.timeout_s",),
            "service": ("reward.on_failure",),
            "empty": ("reward.empty_responses",),
        }.get(self.kind, ("reward.name",))
        lenient = Help('or let the run go on with reward.on_failure = "score" or "drop_group"; failures are counted')
        ways = (Help(_WAYS[self.kind]), lenient)
        return SpecError(Diagnostic(self.code, str(self), self.label, ways, paths=paths))
