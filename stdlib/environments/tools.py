"""Function calling: the model calls tools that its chat template told it of, and answers when it calls none.

Each result is a message of the role `tool`, in the order of the calls.  A turn without a call is the answer and ends
the episode.  In the last turn nothing is called, since nobody would read the result.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import override
from stdlib.episodes import Context, Episode, Observation, Turn
from stdlib.samples import Message, Prompt

STOP_STRINGS: tuple[str, ...] = ()
REWARDS = False
# A turn that repeats itself may have thousands.
MOST_CALLS = 64


def begin(context: Context) -> Episode:
    """Begin an episode."""
    return _Episode(context)


def fault_of(prompt: Prompt) -> str:
    """Return what a prompt lacks, or nothing."""
    return "" if prompt.messages else "tools need chat messages, or data.train.apply_chat_template = true"


class _Episode(Episode):
    def __init__(self, context: Context) -> None:
        self._context = context

    @override
    async def step(self, turn: Turn) -> Observation:
        parsed = self._context.parsed(turn)
        if not parsed.calls and not parsed.malformed:
            return Observation(is_done=True)
        if turn.is_last:
            return Observation()
        messages: list[Message] = []
        malformed = parsed.malformed
        if len(parsed.calls) + len(malformed) > MOST_CALLS:
            malformed = (*malformed[:1], f"no more than {MOST_CALLS} calls of one turn are answered")
        for call in parsed.calls[:MOST_CALLS]:
            messages.append({"role": "tool", "name": call.name, "content": await self._context.call(call)})
        for why in malformed:
            messages.append({"role": "tool", "name": "error", "content": self._context.malformed(why)})
        return Observation(messages=tuple(messages))
