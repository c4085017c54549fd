"""Tokenizers: text to token ids and back, for the kinds that a plan may name.

`characters` gives each character of an alphabet a token of its own and refuses every other character; `bytes` gives
each byte of UTF-8 one, so that it takes any text (byte_tokenizer.py); `huggingface` reads the files of
a model directory and runs no code from it (huggingface_tokenizer.py).
Text is never given special tokens that the caller did not write.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Never, Protocol

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.data.huggingface_tokenizer import HuggingFaceTokenizer
from runtime.data.tokenizer_faults import misfit, no_template
from runtime.data.turns import Conversation, Learned, Tools
from stdlib.samples import Message

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")


class TextTokenizer(Protocol):
    """Turns text into token ids and back."""

    @property
    def eos_token_id(self) -> int:
        """The token that ends a response."""
        ...

    @property
    def pad_token_id(self) -> int:
        """The token that fills up; the end of sequence where the tokenizer has none of its own."""
        ...

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        ...

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens that `encode` makes of a text that spells them, and that mean something to the model."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text, none added.  Raises: SpecError RLC0606 for a character without a token."""
        ...

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Return the same of a text that nobody vouches for: what spells a control token becomes ordinary tokens."""
        ...

    def decode(self, tokens: Sequence[int], *, keeps_special: bool = False) -> str:
        """Return the text of tokens; special ones are left out or spelled, ids that there are not are left out."""
        ...

    def chat_text(self, messages: Sequence[Message], tools: Tools = (), *, opens: bool = True) -> str:
        """Return the messages as the model's template writes them, up to where the assistant's answer begins.

        Args:
            opens: whether the opening of the assistant's turn is written at the end.

        Raises: SpecError RLC0604 without a template, RLC0608 if the template refuses the messages.
        """
        ...

    def conversation(self, messages: Sequence[Message], tools: Tools, learned: Learned) -> Conversation:
        """Return the tokens of messages of which the last is the assistant's, and which of them are learned.

        The tokens are those of the whole conversation as the template writes it, up to the last end of sequence of the
        last message; where the template writes none there, one is added.  Raises: as `chat_text`; RLC0608 also if it
        cannot be told which tokens a message became.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write the tokenizer in the Hugging Face layout."""
        ...


def load_tokenizer(model: Model[Never], *, root: Path) -> TextTokenizer:
    """Return the tokenizer of a model; directories are relative to `root`.

    Raises: SpecError RLC0617 without a readable directory, RLC0607 if it does not fit the model.
    """
    alphabet = model.tokenizer.alphabet
    if model.tokenizer.kind == "characters":
        if not isinstance(alphabet, str) or not alphabet:
            raise misfit("a tokenizer of kind characters has no alphabet", 'set alphabet = "0123456789+= "')
        loaded: TextTokenizer = CharacterTokenizer(alphabet)
    elif model.tokenizer.kind == "bytes":
        loaded = ByteTokenizer()
    else:
        loaded = HuggingFaceTokenizer(_directory(model, root))
    if loaded.vocab_size > model.vocab_size:
        raise misfit(
            f"the tokenizer has {loaded.vocab_size:,} tokens, but model.vocab_size = {model.vocab_size:,}",
            f"set model.vocab_size = {loaded.vocab_size}, or use the tokenizer that belongs to the weights",
        )
    return loaded


class CharacterTokenizer:
    """One token for each character of an alphabet.

    Ids: 0 <pad>, 1 <bos>, 2 <eos>, 3 <unk>, then the alphabet in its order.
    """

    pad_token_id = 0
    eos_token_id = 2
    control_ids: frozenset[int] = frozenset()

    def __init__(self, alphabet: str) -> None:
        twice = sorted({c for c in alphabet if alphabet.count(c) > 1})
        if twice:
            raise misfit(f"the alphabet holds {', '.join(map(repr, twice))} more than once", "name each once")
        self._alphabet = alphabet
        self._ids = {c: i for i, c in enumerate(alphabet, len(SPECIAL_TOKENS))}
        self.vocab_size = len(SPECIAL_TOKENS) + len(alphabet)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return one id a character."""
        try:
            return tuple(self._ids[c] for c in text)
        except KeyError:
            unknown = sorted(set(text) - set(self._ids))
        raise SpecError(
            Diagnostic(
                code="RLC0606",
                message=f"{', '.join(map(repr, unknown))} has no token: it is not in model.tokenizer.alphabet",
                help=(Help("add the character to the alphabet (which changes the ids), or take it out of the data"),),
                paths=("model.tokenizer.alphabet",),
            )
        )

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Return the same: no text spells a special token."""
        return self.encode(text)

    def decode(self, tokens: Sequence[int], *, keeps_special: bool = False) -> str:
        """Return the characters of those tokens that stand for one, and special tokens where they are asked for."""
        letters = (*SPECIAL_TOKENS, *self._alphabet)
        first = 0 if keeps_special else len(SPECIAL_TOKENS)
        return "".join(letters[t] for t in tokens if first <= t < self.vocab_size)

    def chat_text(self, messages: Sequence[Message], tools: Tools = (), *, opens: bool = True) -> str:
        """Raise RLC0604: characters have no chat template."""
        raise no_template("a tokenizer of kind characters has no chat template")

    def conversation(self, messages: Sequence[Message], tools: Tools, learned: Learned) -> Conversation:
        """Raise RLC0604: characters have no chat template."""
        raise no_template("a tokenizer of kind characters has no chat template")

    def save(self, directory: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, from which transformers builds the same ids."""
        ids = {token: i for i, token in enumerate(SPECIAL_TOKENS)} | self._ids
        words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        words.decoder = decoders.Fuse()
        pad, bos, eos, unk = SPECIAL_TOKENS
        PreTrainedTokenizerFast(
            tokenizer_object=words,
            pad_token=pad,
            bos_token=bos,
            eos_token=eos,
            unk_token=unk,
            clean_up_tokenization_spaces=False,
        ).save_pretrained(str(directory))


def _directory(model: Model[Never], root: Path) -> Path:
    named = model.hf if isinstance(model.hf, str) else model.weights
    path = root / named
    if isinstance(model.hf, str) or named != "random":
        if os.path.isdir(path):
            return path
        message = f"{named} is not a directory, so no tokenizer can be read from it"
    else:
        message = "a tokenizer of kind huggingface needs a model directory, but the weights are random"
    raise SpecError(
        Diagnostic(
            code="RLC0617",
            message=message,
            help=(Help('set model.hf to a Hugging Face directory, or model.tokenizer.kind = "bytes"'),),
            paths=("model.hf", "model.weights", "model.tokenizer.kind"),
        )
    )
