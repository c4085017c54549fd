"""What an environment says, within its limit: cut text ends in a mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from runtime.data.tokenizers import TextTokenizer

CUT: Final = " ... (cut)"
# No tokenizer has tokens of more characters on average; what is behind is not even looked at.
_CHARACTERS_A_TOKEN: Final = 32


class Fitted(NamedTuple):
    """A text, whether it was cut, and the tokens that it takes."""

    text: str
    was_cut: bool
    num_tokens: int


def fault_in(messages: object, text: object, frame: object) -> str:
    """Return what is wrong with the form of an answer, or nothing."""
    if not isinstance(text, str):
        return f"it answered with {text!r:.80}, which is no text"
    if not (isinstance(frame, tuple) and [type(part) for part in frame] == [str, str]):
        return f"it framed a text with {frame!r:.80}, which are not two texts"
    if not isinstance(messages, (tuple, list)):
        return f"it answered with {messages!r:.80}, which are no messages"
    wrong = [one for one in messages if not (isinstance(one, Mapping) and isinstance(one.get("role"), str))]
    return f"it answered with {wrong[0]!r:.80}, which is no message with a role" if wrong else ""


def written_out(text: str) -> str:
    """Return a text with a question mark for each half of a surrogate pair, which is no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def fitted(text: str, tokenizer: TextTokenizer, *, most: int) -> Fitted:
    """Return a text of at most so many tokens, or as near as cutting between tokens comes.

    Raises: SpecError RLC0606 if a character has no token.
    """
    head = text[: most * _CHARACTERS_A_TOKEN]
    head = written_out(head)
    tokens = tokenizer.encode_plain(head)
    if len(head) == len(text) and len(tokens) <= most:
        return Fitted(head, False, len(tokens))
    mark = tokenizer.encode(CUT)
    kept = tokenizer.decode(tokens[: max(0, most - len(mark))], keeps_special=True)
    # What is left of a character in the middle is no text.
    kept = kept.removesuffix("\ufffd") + CUT
    return Fitted(kept, True, len(tokenizer.encode_plain(kept)))
