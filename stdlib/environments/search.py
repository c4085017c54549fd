"""Search between tags, in the manner of Search-R1: reasoning, queries, results and the answer in one running text.

The policy writes <search>QUERY</search> and reads what was found between <information> tags; <answer>...</answer> ends
the episode.  A turn with neither is told so, and the policy goes on.  No chat template is needed between turns: what is
found stands right behind the query.
Paper: Search-R1, arXiv:2503.09516, section 3.2 and table 1.  Departure: the hint after a turn with neither tag is in
other words.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import override
from stdlib.episodes import Context, Episode, Observation, ToolCall, Turn
from stdlib.samples import Prompt

STOP_STRINGS = ("</search>", "</answer>")
REWARDS = False

_HINT = "A turn ends with <search>a query</search>, or with <answer>the answer</answer>. I try again."


def begin(context: Context) -> Episode:
    """Begin an episode."""
    return _Episode(context)


def fault_of(prompt: Prompt) -> str:
    """Return nothing: any prompt will do."""
    return ""


class _Episode(Episode):
    def __init__(self, context: Context) -> None:
        self._context = context

    @override
    async def step(self, turn: Turn) -> Observation:
        found = _action(turn.text)
        if found is None:
            self._context.malformed("neither a query nor an answer")
            return Observation(text=f"\n{_HINT}\n")
        kind, body = found
        if kind == "answer":
            return Observation(is_done=True)
        if turn.is_last:
            return Observation()
        said = await self._context.call(ToolCall("search", {"query": body.strip()}))
        return Observation(text=said, frame=("\n\n<information>", "</information>\n\n"))


def _action(text: str) -> tuple[str, str] | None:
    """Return the first query or answer of a text, and what kind it is; what is not closed is none."""
    found: list[tuple[int, str, str]] = []
    for kind in ("search", "answer"):
        _, mark, behind = text.partition(f"<{kind}>")
        body, end, _ = behind.partition(f"</{kind}>")
        if mark and end:
            found.append((text.index(mark), kind, body))
    return min(found)[1:] if found else None
