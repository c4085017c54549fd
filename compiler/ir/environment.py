"""[environment]: what answers the policy between its turns, and what an episode may take."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Seconds, SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import CustomCode

TOOLS, SEARCH, PUZZLE = "tools", "search", "sliding_puzzle"

_CALLS_TOOLS = ("name", (TOOLS,))
_MAY_CALL = ("name", (TOOLS, SEARCH))
_SEARCHES = ("name", (SEARCH,))


class Documents(Record):
    """What is searched."""

    documents: SpecPath = setting("A .jsonl file with a document in each row, relative to the spec that names it.")
    text_key: str = setting("The key of a document's text.", default="contents")
    num_results: int = setting("Documents that a search returns.", default=3, unit="documents", ge=1, le=100)


class Tool(Record, Generic[A]):
    """[[environment.tools]]: a function that the model may call."""

    name: str = setting(
        "A tool of the standard library, such as `calculator`, or a function of your own as `file.py:function`: its "
        "annotations and its docstring say what the model is told of it."
    )
    timeout_s: Seconds = setting(
        "Longest time that one call may take.", default=10.0, unit="seconds", gt=0, on_resume="may_change"
    )
    search: Documents | Off = setting("What `search` searches.", default=OFF, read_if=_SEARCHES)
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)


class Environment(Record, Generic[A]):
    """[environment]: what answers the policy between its turns.  Without it a response is a single turn."""

    name: str = setting(
        "An environment of the standard library: `tools`, `search`, `sliding_puzzle`; or a function of your own as "
        "`file.py:function`, which begins an episode, or takes one to its end."
    )
    max_turns: int = setting("Turns of the policy in one episode.", default=8, unit="turns", ge=1, le=10_000)
    max_observation_tokens: Tokens = setting(
        "Longest answer of the environment to one turn; what is cut is marked and counted.",
        default=512,
        unit="tokens",
        ge=16,
    )
    episode_timeout_s: Seconds = setting(
        "Longest time that the environment may take over one episode, generation not counted.",
        default=300.0,
        unit="seconds",
        gt=0,
        on_resume="may_change",
    )
    stop_strings: tuple[str, ...] = setting(
        "Texts that end a turn, beside those that the environment itself names.", default=()
    )
    tools: tuple[Tool[A], ...] = setting("What the model may call.", default=(), read_if=_CALLS_TOOLS)
    parser: str | Off | A = setting(
        "How the model writes calls: a file of stdlib/tool_parsers/; unless set, as models of its family do.",
        read_if=_CALLS_TOOLS,
    )
    search: Documents | Off = setting("What `search` searches.", default=OFF, read_if=_SEARCHES)
    call_timeout_s: Seconds = setting(
        "Longest time that one search may take.",
        default=10.0,
        unit="seconds",
        gt=0,
        on_resume="may_change",
        read_if=_SEARCHES,
    )
    on_tool_failure: Literal["tell_model", "end_episode", "stop"] = setting(
        "What a call does that raises or takes too long: the model is told and goes on, the episode ends there, or the "
        "run does.",
        default="tell_model",
        on_resume="may_change",
        read_if=_MAY_CALL,
    )
    on_malformed_call: Literal["tell_model", "end_episode"] = setting(
        "What happens to a turn whose calls cannot be read: the model is told and goes on, or the episode ends there.",
        default="tell_model",
        on_resume="may_change",
    )
    on_episode_failure: Literal["end_episode", "stop"] = setting(
        "What happens when the environment itself raises, takes too long, or says what has no tokens: the episode ends "
        "there, or the run does.",
        default="end_episode",
        on_resume="may_change",
    )
    failed_episodes: Literal["train", "mask"] = setting(
        "Whether the tokens of an episode that a failure ended count in the loss; its reward counts in any case.",
        default="mask",
    )
    train_turns: Literal["all", "last"] = setting(
        "Which turns of the policy count in the loss; what the environment says never does.", default="all"
    )
    judged: Literal["last_turn", "all_turns"] = setting(
        "What rewards are given as the text of the response: what the policy said last, or all that it said.",
        default="last_turn",
    )
    concurrency: int = setting(
        "Calls of tools and environments under way at once.",
        default=512,
        unit="calls",
        ge=1,
        on_resume="may_change",
    )
    expected_turns: int | Off = setting(
        "Turns of an episode on average, as far as it is known; off takes half of max_turns.",
        default=OFF,
        unit="turns",
        ge=1,
        in_hash=False,
    )
    expected_turn_s: Seconds | Off = setting(
        "How long tools and the environment take between two turns on average, as far as it is known; the forecast of "
        "a step counts it. Off counts nothing.",
        default=OFF,
        unit="seconds",
        gt=0,
        in_hash=False,
    )
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)
    drives: bool | A = setting("Whether that function takes an episode to its end itself.", derived=True)
