"""One token for each byte of UTF-8: a tokenizer that takes any text and needs no file.

It serves models whose own tokenizer is not at hand, such as those that `--shrink` makes.  Ids: 0 <pad>, 1 <eos>, then
the 256 bytes in their order.

Messages are written as `role: content` lines, and the assistant's turn begins with `assistant: `.  This is no model's
template; it only has to tell turns apart, and transformers renders the same from the files that `save` writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from runtime.data.turns import Conversation, Learned, Tools
from stdlib.samples import Message

SPECIAL_TOKENS = ("<pad>", "<eos>")
NUM_TOKENS = len(SPECIAL_TOKENS) + 256
TEMPLATE = (
    "{% if tools %}tools: {{ tools | tojson }}{{ '\\n' }}{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}"
    "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

_FIRST = len(SPECIAL_TOKENS)
# The bytes that tokenizer files write as themselves; the others are written as the characters from U+0100 on.
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


class ByteTokenizer:
    """One token for each byte."""

    pad_token_id = 0
    eos_token_id = 1
    vocab_size = NUM_TOKENS
    control_ids: frozenset[int] = frozenset()

    def encode(self, text: str) -> tuple[int, ...]:
        """Return one id a byte; what is no text (half a surrogate pair) is written as three."""
        return tuple(_FIRST + byte for byte in text.encode("utf-8", "surrogatepass"))

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Return the same: no text spells a special token."""
        return self.encode(text)

    def decode(self, tokens: Sequence[int], *, keeps_special: bool = False) -> str:
        """Return the text of those tokens that stand for a byte; bytes that are no UTF-8 become U+FFFD."""
        if keeps_special:
            letters = [*(token.encode() for token in SPECIAL_TOKENS), *(bytes((byte,)) for byte in range(256))]
            return b"".join(letters[t] for t in tokens if t < NUM_TOKENS).decode("utf-8", "replace")
        return bytes(t - _FIRST for t in tokens if _FIRST <= t < NUM_TOKENS).decode("utf-8", "replace")

    def chat_text(self, messages: Sequence[Message], tools: Tools = (), *, opens: bool = True) -> str:
        """Return a line for each message, and the opening of the assistant's."""
        lines = _said(tools) + "".join(f"{_header(m)}{_content(m)}\n" for m in messages)
        return f"{lines}assistant: " if opens else lines

    def conversation(self, messages: Sequence[Message], tools: Tools, learned: Learned) -> Conversation:
        """Return the lines of all messages, in the place of the last line break the end of sequence.

        A message that is learned is learned with its line break.
        """
        tokens, mask = self.encode(_said(tools)), bytes(len(self.encode(_said(tools))))
        for index, message in enumerate(messages):
            header, content = self.encode(_header(message)), self.encode(f"{_content(message)}\n")
            if index == len(messages) - 1:
                content = (*content[:-1], self.eos_token_id)
            is_learned = message["role"] == "assistant" and learned(index)
            tokens += header + content
            mask += bytes(len(header)) + (b"\1" if is_learned else b"\0") * len(content)
        return Conversation(tokens, mask)

    def save(self, directory: Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and the template, from which transformers builds the same ids."""
        ids = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
        ids |= {_letter(byte): _FIRST + byte for byte in range(256)}
        backend = Tokenizer(models.BPE(ids, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        pad, eos = SPECIAL_TOKENS
        fast = PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token=pad, eos_token=eos, clean_up_tokenization_spaces=False
        )
        fast.chat_template = TEMPLATE
        fast.save_pretrained(str(directory))


def _said(tools: Tools) -> str:
    return f"tools: {_json([dict(tool) for tool in tools])}\n" if tools else ""


def _header(message: Message) -> str:
    return f"{message['role']}: "


def _content(message: Message) -> str:
    calls = message.get("tool_calls")
    return f"{message.get('content', '')}{_json(calls) if calls else ''}"


def _json(value: object) -> str:
    # As the filter `tojson` of transformers writes it.
    return json.dumps(value, ensure_ascii=False)


def _letter(byte: int) -> str:
    """Return the character that stands for a byte in files of byte-level tokenizers."""
    if byte in _PRINTABLE:
        return chr(byte)
    return chr(0x100 + sum(1 for other in range(byte) if other not in _PRINTABLE))
