"""The environment of searches: what of a turn is a query."""

from __future__ import annotations

import asyncio

import pytest

from stdlib.environments.search import begin
from stdlib.episodes import Context, Observation, Parsed, ToolCall, Turn
from stdlib.samples import Prompt


class _Notes(Context):
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    @property
    def prompt(self) -> Prompt:
        raise NotImplementedError

    @property
    def is_evaluation(self) -> bool:
        return False

    def parsed(self, turn: Turn) -> Parsed:
        raise NotImplementedError

    def malformed(self, why: str) -> str:
        return why

    async def call(self, call: ToolCall) -> str:
        self.queries.append(str(call.arguments["query"]))
        return "Doc 1: Berlin"


def answered(text: str) -> tuple[list[str], Observation]:
    context = _Notes()
    turn = Turn(index=0, text=text, spelled=text, finish="stop", is_last=False)

    async def step() -> Observation:
        answer = begin(context).step(turn)
        return answer if isinstance(answer, Observation) else await answer

    return context.queries, asyncio.run(step())


@pytest.mark.parametrize(
    ("text", "queries", "is_done"),
    [
        ("I look. <search> capital </search>", ["capital"], False),
        ("<answer>Berlin</answer><search>more</search>", [], True),
        ("<search>one</search><answer>Berlin</answer>", ["one"], False),
        ("<answer><search>inside</search>", ["inside"], False),
        ("<answer>", [], False),
        ("</search><search>", [], False),
        ("<search>" * 20_000, [], False),
    ],
)
def test_the_first_part_that_is_closed_counts(text: str, queries: list[str], is_done: bool) -> None:
    found, observation = answered(text)
    assert (found, observation.is_done) == (queries, is_done)
