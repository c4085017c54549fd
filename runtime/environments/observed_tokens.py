"""Tokens of what an environment says: its words never become control tokens, the markup around them does.

A document that spells the end of a turn would else end it.  Where the words spell none, tokens are those of the whole,
as in any conversation; where they do, markup and words are tokenised apart.  Which is which is found from outside of
the template: it is given a mark in the place of each text, and each text alone among marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from runtime.data.tokenizers import TextTokenizer
from runtime.environments.markup import unused_marks
from stdlib.samples import Message

_WORDS = ("content", "name")

Write = Callable[[Sequence[Message]], str]


class _Part(NamedTuple):
    text: str
    is_markup: bool


def framed_tokens(tokenizer: TextTokenizer, text: str, frame: tuple[str, str]) -> tuple[int, ...]:
    """Return the tokens of a text between the two of its frame."""
    return _of_parts(tokenizer, [_Part(frame[0], True), _Part(text, False), _Part(frame[1], True)])


def message_tokens(tokenizer: TextTokenizer, messages: Sequence[Message], write: Write) -> tuple[int, ...] | None:
    """Return the tokens of messages, None where they spell control tokens and the template hides which part is theirs.

    Args:
        write: what the template makes of messages.
    """
    whole = write(messages)
    texts = [str(message.get(key, "")) for message in messages for key in _WORDS]
    if not any(_spells(tokenizer, text) for text in texts):
        return tokenizer.encode(whole)
    parts = _parts(messages, write)
    return None if parts is None else _of_parts(tokenizer, parts)


def _of_parts(tokenizer: TextTokenizer, parts: Sequence[_Part]) -> tuple[int, ...]:
    whole = tokenizer.encode("".join(part.text for part in parts))
    apart = [tokenizer.encode(part.text) if part.is_markup else tokenizer.encode_plain(part.text) for part in parts]
    tokens = tuple(token for part in apart for token in part)
    return whole if _controls(tokenizer, whole) == _controls(tokenizer, tokens) else tokens


def _spells(tokenizer: TextTokenizer, text: str) -> bool:
    return bool(_controls(tokenizer, tokenizer.encode(text)))


def _controls(tokenizer: TextTokenizer, tokens: Sequence[int]) -> list[int]:
    return [token for token in tokens if token in tokenizer.control_ids]


def _parts(messages: Sequence[Message], write: Write) -> list[_Part] | None:
    """Markup and words in turn, as the template writes them; None if it does not write each text in one place."""
    places = [(number, key) for number, message in enumerate(messages) for key in _WORDS if key in message]
    marks = dict(zip(places, unused_marks(messages, len(places)), strict=True))
    marked = _with(messages, marks)
    frame = write(marked)
    written = [place for place in places if marks[place] in frame]
    written.sort(key=lambda place: frame.index(marks[place]))
    if any(frame.count(marks[place]) > 1 for place in written):
        return None
    parts: list[_Part] = []
    at = 0
    for place in written:
        number, key = place
        before, _, behind = frame.partition(marks[place])
        alone = write(_with(marked, {place: str(messages[number][key])}))
        if not alone.startswith(before) or not alone.endswith(behind) or len(alone) < len(before) + len(behind):
            return None
        parts += [_Part(before[at:], True), _Part(alone[len(before) : len(alone) - len(behind)], False)]
        at = len(before) + 1
    parts.append(_Part(frame[at:], True))
    return parts if "".join(part.text for part in parts) == write(messages) else None


def _with(messages: Sequence[Message], texts: dict[tuple[int, str], str]) -> list[Message]:
    changed: list[Message] = []
    for number, message in enumerate(messages):
        changed.append({**message, **{key: text for (of, key), text in texts.items() if of == number}})
    return changed
