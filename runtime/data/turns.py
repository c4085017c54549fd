"""Which part of a rendered conversation each message of the assistant wrote, found from outside of the template.

A turn begins where the template, given the messages before it, would let the assistant begin, and ends behind the last
end of sequence that the template writes with it.  Where a template writes earlier messages otherwise once later ones
are there (it leaves out reasoning, for one), the turn is found by writing the conversation with another text in its
place: what differs is the turn's, from the header before it on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from compiler.diagnostics.diagnostic import SpecError
from stdlib.samples import JsonValue, Message

Tools = Sequence[Mapping[str, JsonValue]]
# Whether the message of the assistant at an index is learned.
Learned = Callable[[int], bool]


class Conversation(NamedTuple):
    """A conversation as tokens; `mask` has one byte for each, 1 where the token is learned."""

    tokens: tuple[int, ...]
    mask: bytes


# Renders messages, with or without the opening of the assistant's turn.  Raises: SpecError if the template refuses.
Render = Callable[[Sequence[Message], bool], str]

# A character that stands for no text; templates have nothing to strip from it.
_OTHER = "\ue000"


class Turn(NamedTuple):
    """Characters of the whole text, `text[start:end]`, that one message of the assistant wrote."""

    start: int
    end: int


def assistant_turns(
    messages: Sequence[Message], whole: str, render: Render, *, learned: Learned, eos: str
) -> dict[int, Turn] | None:
    """Return the turns that are learned, and that of the last message, by index; None where one cannot be told.

    Args:
        whole: all messages rendered, without the opening of a further turn.
        eos: the text of the end of sequence, or nothing.
    """
    found: dict[int, Turn] = {}
    floor = 0
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or not (learned(index) or index == len(messages) - 1):
            continue
        turn = _by_prefix(messages, index, whole, render) or _by_exchange(messages, index, whole, render, eos=eos)
        if turn is None or turn.start < floor:
            return None
        last = whole.rfind(eos, turn.start, turn.end) if eos else -1
        found[index] = turn if last < 0 else Turn(turn.start, last + len(eos))
        floor = turn.end
    return found


def _by_prefix(messages: Sequence[Message], index: int, whole: str, render: Render) -> Turn | None:
    try:
        before, after = render(messages[:index], True), render(messages[: index + 1], False)
    except SpecError:
        return None
    grows = whole.startswith(before) and whole.startswith(after) and len(before) <= len(after)
    return Turn(len(before), len(after)) if grows else None


def _by_exchange(messages: Sequence[Message], index: int, whole: str, render: Render, *, eos: str) -> Turn | None:
    try:
        opened, closed = render(messages[:index], True), render(messages[:index], False)
        other: Message = {"role": "assistant", "content": _OTHER}
        changed = render([*messages[:index], other, *messages[index + 1 :]], False)
    except SpecError:
        return None
    header = opened.removeprefix(closed)
    if not header or header == opened:
        return None
    same = _same_characters(whole, changed)
    tail = _same_characters(whole[same:][::-1], changed[same:][::-1])
    start = whole.rfind(header, 0, same)
    if start < 0:
        return None
    end = len(whole) - tail
    behind = whole[end:].lstrip()
    if eos and behind.startswith(eos):
        end = len(whole) - len(behind) + len(eos)
    return Turn(start + len(header), end)


def _same_characters(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in alike)
