"""The tokenizer of a Hugging Face directory.

No code of the directory runs: chat templates are rendered in the sandboxed Jinja environment of transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.data.tokenizer_faults import misfit, no_template, refused
from runtime.data.turns import Conversation, Learned, Tools, Turn, assistant_turns
from stdlib.samples import Message

# How a template itself says what the assistant wrote, as transformers looks for it.
_SAYS_TURNS = re.compile(r"\{%-?\s*generation\s*-?%\}")


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
            raise misfit(f"the tokenizer of {directory} has no end-of-sequence token", "name eos_token in its config")
        self._backend = backend
        self._encode = _direct(backend)
        self._directory = directory
        self.eos_token_id: int = backend.eos_token_id
        self.pad_token_id: int = self.eos_token_id if backend.pad_token_id is None else backend.pad_token_id
        self.vocab_size: int = max(backend.get_vocab().values()) + 1
        # Models without a flag for it mark calls of tools or reasoning by added tokens; a run of spaces marks nothing.
        marks = {i: str(t) for i, t in backend.added_tokens_decoder.items() if str(t).strip()}
        self._marks = {i: text for i, text in marks.items() if i != backend.unk_token_id}
        self.control_ids: frozenset[int] = frozenset(self._marks)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text; special tokens only where the text spells them."""
        return tuple(self._encode(text))

    def encode_plain(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text, none of which is of a control token, whatever the text spells."""
        tokens = self.encode(text)
        if self.control_ids.isdisjoint(tokens):
            return tokens
        tokens = tuple(self._encode_plain(text))
        # What a vocabulary knows in no other way than as a control token is left out.
        return tuple(token for token in tokens if token not in self.control_ids)

    def decode(self, tokens: Sequence[int], *, keeps_special: bool = False) -> str:
        """Return the text with or without special tokens."""
        skips = not keeps_special
        return self._backend.decode(list(tokens), skip_special_tokens=skips, clean_up_tokenization_spaces=False)

    def chat_text(self, messages: Sequence[Message], tools: Tools = (), *, opens: bool = True) -> str:
        """Return the rendered messages and the opening of the assistant's turn."""
        return self._render(messages, tools, add_generation_prompt=opens)

    def conversation(self, messages: Sequence[Message], tools: Tools, learned: Learned) -> Conversation:
        """Return the tokens of a conversation and which of them are learned.

        What the template marks with `{% generation %}` is the assistant's; of other templates turns.py finds it.
        """
        whole = self._render(messages, tools, add_generation_prompt=False)
        turns = self._marked_turns(messages, tools) or assistant_turns(
            messages,
            whole,
            lambda some, opens: self._render(some, tools, add_generation_prompt=opens),
            learned=learned,
            eos=str(self._backend.eos_token),
        )
        last = len(messages) - 1
        if turns is None or last not in turns:
            raise refused(
                "the chat template does not let it be told what the assistant wrote: mark it, {% generation %}"
            )
        kept = [turn for index, turn in turns.items() if learned(index)]
        tokens, mask = self._masked(whole, kept)
        first = min(len(self.encode(whole[: turns[last].start])), len(tokens))
        if self.eos_token_id in tokens[first:]:
            behind = len(tokens) - tokens[::-1].index(self.eos_token_id)
            return Conversation(tokens[:behind], mask[:behind])
        return Conversation((*tokens, self.eos_token_id), mask + b"\1") if learned(last) else Conversation(tokens, mask)

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every token, added ones included."""
        found: dict[str, int] = self._backend.get_vocab()
        return found

    def save(self, directory: Path) -> None:
        """Write the tokenizer's files."""
        self._backend.save_pretrained(str(directory))

    @cached_property
    def _encode_plain(self) -> Callable[[str], Sequence[int]]:
        """What makes ids of a text and looks for no control token in it."""
        if isinstance(self._backend, PreTrainedTokenizerFast):
            told = json.loads(self._backend.backend_tokenizer.to_str())
            for added in told["added_tokens"]:
                added["special"] |= added["id"] in self.control_ids
            below = Tokenizer.from_str(json.dumps(told))
            below.encode_special_tokens = True
            return lambda text: below.encode(text, add_special_tokens=False).ids
        # The first character of each spelling is cut off it, so that nothing is left to be found.
        spelled = re.compile("|".join(map(re.escape, sorted(self._marks.values(), key=len, reverse=True))))

        def encode(text: str) -> list[int]:
            cuts = [0, *(found.start() + 1 for found in spelled.finditer(text)), len(text)]
            return [token for start, end in pairwise(cuts) for token in self._encode(text[start:end])]

        return encode

    def _render(self, messages: Sequence[Message], tools: Tools, *, add_generation_prompt: bool) -> str:
        try:
            return self._backend.apply_chat_template(
                [dict(m) for m in messages],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self._template(tools),
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise refused(f"the chat template refuses the messages: {error}") from error

    def template_text(self) -> str:
        """Return its chat templates as they are written, or nothing where it has none."""
        template = self._backend.chat_template
        return template if isinstance(template, str) else json.dumps(template or "", sort_keys=True)

    def _template(self, tools: Tools) -> str:
        if not self._backend.chat_template:
            raise no_template(f"the tokenizer of {self._directory} has no chat template")
        return self._backend.get_chat_template(None, tools=list(tools) or None)

    def _marked_turns(self, messages: Sequence[Message], tools: Tools) -> dict[int, Turn] | None:
        """What the template itself says, where it does, and of each message of the assistant."""
        template = self._template(tools)
        if not _SAYS_TURNS.search(template):
            return None
        rendered: Any = render_jinja_template(
            conversations=[[dict(m) for m in messages]],
            tools=[dict(tool) for tool in tools] or None,
            chat_template=template,
            return_assistant_tokens_mask=True,
            **self._backend.special_tokens_map,
        )
        _, (spans,) = rendered
        indices = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        if len(spans) != len(indices):
            return None
        return {index: Turn(start, end) for index, (start, end) in zip(indices, spans, strict=True)}

    def _masked(self, whole: str, turns: Sequence[Turn]) -> tuple[tuple[int, ...], bytes]:
        """The tokens of a text, and 1 for those that hold a character of a turn."""
        tokens = self.encode(whole)
        cuts = sorted({0, len(whole), *(at for turn in turns for at in turn)})
        starts = {turn.start for turn in turns if turn.start < turn.end}
        pieces = [(start, self.encode(whole[start:end])) for start, end in pairwise(cuts)]
        if tuple(token for _, piece in pieces for token in piece) == tokens:
            return tokens, b"".join((b"\1" if start in starts else b"\0") * len(piece) for start, piece in pieces)
        # A token reaches over the border of a turn, so the tokens of the parts are not those of the whole.
        encoded = self._backend(whole, add_special_tokens=False, return_offsets_mapping=self._backend.is_fast)
        if "offset_mapping" not in encoded:
            raise refused("a token reaches over the border of the assistant's turn, and this tokenizer tells no places")
        spans = encoded["offset_mapping"]
        return tokens, bytes(any(turn.start < end and start < turn.end for turn in turns) for start, end in spans)


def _direct(backend: Any) -> Callable[[str], Sequence[int]]:
    """Return what makes ids of a text: the library below transformers where transformers adds nothing to it.

    It is called as transformers calls it, for a batch, which lets go of the interpreter, but reports no places.
    """
    kind = type(backend)
    adds_nothing = (
        isinstance(backend, PreTrainedTokenizerFast)
        and kind._encode_plus is PreTrainedTokenizerFast._encode_plus
        and kind.encode is PreTrainedTokenizerBase.encode
    )
    if not adds_nothing:
        return lambda text: backend.encode(text, add_special_tokens=False, verbose=False)
    # The settings that every call of transformers makes.
    below = backend.backend_tokenizer
    below.no_truncation()
    below.no_padding()
    below.encode_special_tokens = backend.split_special_tokens
    return lambda text: below.encode_batch_fast([text], add_special_tokens=False)[0].ids
