"""What passes between an episode and its environment.

An episode is one sample of one prompt in several turns: the policy speaks, the environment answers, until one of them
ends it or a limit does.  An environment never sees tokens, and what it says is never taken for the policy's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from stdlib.samples import JsonValue, Message

if TYPE_CHECKING:
    from stdlib.samples import Prompt

ToolFunction = Callable[..., Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What the policy said in one turn.

    `text` leaves special tokens out; `spelled` has them, but for the token that ended the turn, since some models mark
    calls of tools by special tokens.  `index` counts turns from 0; after `is_last` the policy does not speak again.
    """

    index: int
    text: str
    spelled: str
    finish: Literal["stop", "length"]
    is_last: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What an environment answers.

    `messages` are written by the chat template, as turns of their own; `text` stands behind what the policy said as it
    is, between the two texts of its `frame`, which are never cut.  `reward` is what this turn earned; an episode earns
    the sum.
    """

    messages: tuple[Message, ...] = ()
    text: str = ""
    frame: tuple[str, str] = ("", "")
    is_done: bool = False
    reward: float | None = None


class ToolCall(NamedTuple):
    """A call that the policy wrote."""

    name: str
    arguments: dict[str, JsonValue]


class Parsed(NamedTuple):
    """What a parser found in a turn: the text around the calls, the calls, and why others are malformed."""

    content: str
    calls: tuple[ToolCall, ...] = ()
    malformed: tuple[str, ...] = ()


class ToolRefusalError(Exception):
    """What a tool raises that cannot do what it is asked: the model is told, and nothing has failed."""


class ToolSpec(NamedTuple):
    """A tool of the standard library: its OpenAI-style schema, and what is called with the arguments by their names.

    One that `is_quick` is called in place; others are called in threads.
    """

    schema: dict[str, JsonValue]
    call: ToolFunction
    is_quick: bool


class Context(Protocol):
    """What an environment may ask of the episode that it is part of."""

    @property
    def prompt(self) -> Prompt:
        """What the episode begins with."""
        ...

    @property
    def is_evaluation(self) -> bool:
        """Whether the episode is measured, and nothing trained on it."""
        ...

    def parsed(self, turn: Turn) -> Parsed:
        """Return the calls of tools in a turn, in the format that the plan names; malformed ones are counted."""
        ...

    async def call(self, call: ToolCall) -> str:
        """Return what a tool says, or what the model is told in its place; what fails is counted."""
        ...

    def malformed(self, why: str) -> str:
        """Count a turn that the environment cannot read, and return what the policy is told."""
        ...


class Episode(Protocol):
    """One episode from the side of its environment."""

    def step(self, turn: Turn) -> Observation | Awaitable[Observation]:
        """Return the answer to what the policy said."""
        ...


Begin = Callable[[Context], Episode]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeFacts:
    """What is known of an episode that has ended.

    `said` are its messages behind the prompt, those of the policy as plain texts; `reward` is what the environment
    gave, None where it gave nothing; `ended_by` is "" where the environment ended it itself; `failure` says what went
    wrong where something did.
    """

    num_turns: int
    said: tuple[Message, ...]
    reward: float | None = None
    ended_by: Literal["", "max_turns", "max_tokens", "cut", "tool", "malformed", "failure", "timeout"] = ""
    failure: str = ""
    num_observed_tokens: int = 0
    counts: dict[str, int] = field(default_factory=dict)
