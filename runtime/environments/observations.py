"""What an environment says, within its limit: cut text ends in a mark."""

from __future__ import annotations

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


def fitted(text: str, tokenizer: TextTokenizer, *, most: int) -> Fitted:
    """Return a text of at most so many tokens, or as near as cutting between tokens comes.

    Halves of surrogate pairs, which are no text, are replaced.
    Raises: SpecError RLC0606 if a character has no token.
    """
    head = text[: most * _CHARACTERS_A_TOKEN]
    head = head.encode("utf-8", "replace").decode("utf-8")
    tokens = tokenizer.encode(head)
    if len(head) == len(text) and len(tokens) <= most:
        return Fitted(head, False, len(tokens))
    mark = tokenizer.encode(CUT)
    kept = tokenizer.decode(tokens[: max(0, most - len(mark))], keeps_special=True)
    # What is left of a character in the middle is no text.
    kept = kept.removesuffix("\ufffd") + CUT
    return Fitted(kept, True, len(tokenizer.encode(kept)))
