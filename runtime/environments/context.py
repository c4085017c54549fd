"""What an environment may ask of the episode that it is part of; whatever fails on the way is counted here."""

from __future__ import annotations

from compiler.diagnostics.annotations import override
from runtime.environments.dialogue import Dialogue
from runtime.environments.faults import RAISED, TIMEOUT, ends_run
from runtime.environments.opened import OpenEnvironment
from stdlib.episodes import Context, Parsed, ToolCall, Turn
from stdlib.samples import Prompt

_CODES = {"timeout": ("tool_timeouts", TIMEOUT), "error": ("tool_errors", RAISED)}


class EpisodeContext(Context):
    """The context of one episode."""

    def __init__(self, environment: OpenEnvironment, dialogue: Dialogue) -> None:
        self._environment = environment
        self._dialogue = dialogue

    @property
    @override
    def prompt(self) -> Prompt:
        return self._dialogue.prompt

    @property
    @override
    def is_evaluation(self) -> bool:
        return self._dialogue.is_evaluation

    @override
    def parsed(self, turn: Turn) -> Parsed:
        return self._environment.parse(turn.spelled, self._environment.toolbox.parameters)

    @override
    async def call(self, call: ToolCall) -> str:
        """Return what a tool says.  Raises: EpisodeOverError or SpecError where a failure ends more than the call."""
        settings, tally = self._environment.settings, self._dialogue.tally
        tally.add("tool_calls")
        kind, text = await self._environment.toolbox.call(call)
        if kind == "result":
            return text
        if kind == "malformed":
            return self.malformed(text)
        if kind == "refusal":
            tally.add("tool_refusals", text)
            return f"error: {text}"
        name, code = _CODES[kind]
        words = f"{text}, on {self.prompt.source}"
        if settings.on_tool_failure == "stop":
            raise ends_run(code, words, path="environment.on_tool_failure")
        tally.add(name, words)
        if settings.on_tool_failure == "end_episode":
            self._dialogue.end("tool", words)
        return f"error: {text}"

    @override
    def malformed(self, why: str) -> str:
        """Count what cannot be read.  Raises: EpisodeOverError where that ends the episode."""
        self._dialogue.tally.add("malformed_calls", f"{why}, on {self.prompt.source}")
        if self._environment.settings.on_malformed_call == "end_episode":
            self._dialogue.end("malformed")
        return f"error: {why}"
