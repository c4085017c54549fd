"""Tokenizers: text to token ids and back, for the kinds that a plan may name.

`characters` gives each character of an alphabet a token of its own and refuses every other character; `bytes` gives
each byte of UTF-8 one, so that it takes any text (byte_tokenizer.py); `huggingface` reads the files of
a model directory and runs no code from it (chat templates run in the sandboxed Jinja environment of transformers).
Text is never given special tokens that the caller did not write.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never, Protocol

from jinja2 import TemplateError
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.model import Model
from runtime.data.byte_tokenizer import ByteTokenizer
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

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text, none added.  Raises: SpecError RLC0606 for a character without a token."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; special tokens and ids that the tokenizer does not have are left out."""
        ...

    def chat_text(self, messages: Sequence[Message]) -> str:
        """Return the messages as the model's template writes them, up to where the assistant's answer begins.

        Raises: SpecError RLC0604 without a template, RLC0608 if the template refuses the messages.
        """
        ...

    def apply_chat_template(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the tokens of `chat_text`."""
        ...

    def split_conversation(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens before the last message, which is the assistant's, and those of that message.

        The first part is what `apply_chat_template` gives for the messages before the last one, so that training sees
        what sampling sees.  Raises: as `chat_text`; RLC0608 also if the template writes earlier messages differently
        once the last one is there.
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
            raise _misfit("a tokenizer of kind characters has no alphabet", 'set alphabet = "0123456789+= "')
        loaded: TextTokenizer = CharacterTokenizer(alphabet)
    elif model.tokenizer.kind == "bytes":
        loaded = ByteTokenizer()
    else:
        loaded = HuggingFaceTokenizer(_directory(model, root))
    if loaded.vocab_size > model.vocab_size:
        raise _misfit(
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

    def __init__(self, alphabet: str) -> None:
        twice = sorted({c for c in alphabet if alphabet.count(c) > 1})
        if twice:
            raise _misfit(f"the alphabet holds {', '.join(map(repr, twice))} more than once", "name each once")
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

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the characters of those tokens that stand for one."""
        first = len(SPECIAL_TOKENS)
        return "".join(self._alphabet[t - first] for t in tokens if first <= t < self.vocab_size)

    def chat_text(self, messages: Sequence[Message]) -> str:
        """Raise RLC0604: characters have no chat template."""
        raise _no_template("a tokenizer of kind characters has no chat template")

    def apply_chat_template(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Raise RLC0604: characters have no chat template."""
        return self.encode(self.chat_text(messages))

    def split_conversation(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Raise RLC0604: characters have no chat template."""
        return self.apply_chat_template(messages), ()

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


class HuggingFaceTokenizer:
    """The tokenizer of a Hugging Face directory."""

    def __init__(self, directory: Path) -> None:
        try:
            backend: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise SpecError(
                Diagnostic(
                    code="RLC0617",
                    message=f"no tokenizer can be read from {directory}: {str(error).splitlines()[0]}",
                    help=(Help("the directory needs tokenizer.json and tokenizer_config.json"),),
                    paths=("model.hf", "model.weights"),
                )
            ) from error
        if backend.eos_token_id is None:
            raise _misfit(f"the tokenizer of {directory} has no end-of-sequence token", "name eos_token in its config")
        self._backend = backend
        self._directory = directory
        self.eos_token_id: int = backend.eos_token_id
        self.pad_token_id: int = self.eos_token_id if backend.pad_token_id is None else backend.pad_token_id
        self.vocab_size: int = max(backend.get_vocab().values()) + 1

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text; special tokens only where the text spells them."""
        return tuple(self._backend.encode(text, add_special_tokens=False, verbose=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text without special tokens."""
        return self._backend.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def chat_text(self, messages: Sequence[Message]) -> str:
        """Return the rendered messages and the opening of the assistant's turn."""
        return self._render(messages, add_generation_prompt=True)

    def apply_chat_template(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the tokens of `chat_text`."""
        return self.encode(self.chat_text(messages))

    def split_conversation(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens before and of the last message; the two texts are tokenized apart, as in sampling."""
        before, whole = self.chat_text(messages[:-1]), self._render(messages, add_generation_prompt=False)
        if not whole.startswith(before):
            raise _refused("the chat template writes the earlier messages differently once the answer is there")
        return self.encode(before), self.encode(whole[len(before) :])

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every token, added ones included."""
        found: dict[str, int] = self._backend.get_vocab()
        return found

    def save(self, directory: Path) -> None:
        """Write the tokenizer's files."""
        self._backend.save_pretrained(str(directory))

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        if not self._backend.chat_template:
            raise _no_template(f"the tokenizer of {self._directory} has no chat template")
        try:
            return self._backend.apply_chat_template(
                [dict(m) for m in messages], add_generation_prompt=add_generation_prompt, tokenize=False
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise _refused(f"the chat template refuses the messages: {error}") from error


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


def _misfit(message: str, way_out: str) -> SpecError:
    return SpecError(Diagnostic(code="RLC0607", message=message, help=(Help(way_out),), paths=("model.tokenizer",)))


def _no_template(message: str) -> SpecError:
    ways = "give prompts as text and leave apply_chat_template off", "use a tokenizer that has a chat template"
    return SpecError(
        Diagnostic(
            code="RLC0604", message=message, help=tuple(map(Help, ways)), paths=("data.train", "model.tokenizer.kind")
        )
    )


def _refused(message: str) -> SpecError:
    return SpecError(Diagnostic(code="RLC0608", message=message, paths=("data.train",)))
