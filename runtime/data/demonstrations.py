"""Demonstrations: prompts with the answer to imitate, and conversations, as supervised training reads them.

Shape letters: N sequences, T tokens of all sequences end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

import torch

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import DemonstrationSource, TextSource
from runtime.data.jsonl import Dropped, Missing, Row, RowFaults, type_name, value_at, wrong_type
from runtime.data.lengths import LengthLimit, Limit
from runtime.data.prompts import add_empty, add_refusal, read_columns, read_input, read_tools
from runtime.data.reading import Effort, load_all
from runtime.data.tables import Columns
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import Message, TrainBatch

_NOTHING_LEARNED = "no message of the assistant is learned"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """A prompt and its answer, or a conversation, as one sequence; `mask` has a byte for each token, 1 if learned."""

    source: str
    tokens: tuple[int, ...]
    mask: bytes

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens before the first that is learned."""
        return self.mask.index(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationSet:
    """The demonstrations of a data set, in the order of its sources; rows that were too long, and left out or cut."""

    rows: tuple[Demonstration, ...]
    num_overlong: int
    dropped: Dropped


def load_demonstrations(
    sources: Sequence[DemonstrationSource[Never]],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    effort: Effort | None = None,
) -> DemonstrationSet:
    """Return the demonstrations of all sources; paths are relative to `root`.

    Raises: SpecError with every fault of the sources, as `load_all`.
    """
    found = load_all(sources, DemonstrationReading(tokenizer), limit, root=root, effort=effort or Effort())
    return DemonstrationSet(rows=tuple(found.rows), num_overlong=found.num_overlong, dropped=found.dropped)


class DemonstrationReading:
    """Turns rows into demonstrations.

    A text input is followed by the label's text and the end of sequence.  Of chat messages that end with the
    assistant's, those that the source names are learned, and the label is not read; otherwise the label is the
    assistant's last message.  What a chat template writes behind the last end-of-sequence token is left out; where it
    writes none, one is added.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def columns(self, source: DemonstrationSource[Never]) -> Columns:
        """Return the keys of rows that are read; of a conversation the label is not."""
        return read_columns(source, (), (source.label_key,))

    def parsed(
        self, row: Row, source: DemonstrationSource[Never], index: int, faults: RowFaults
    ) -> Demonstration | None:
        """Return a row as a demonstration, or None after adding what is wrong with it."""
        return demonstration(row, source, self._tokenizer, faults)

    def fitted(self, found: Demonstration, row: Row, lengths: LengthLimit, faults: RowFaults) -> Demonstration | None:
        """Return a demonstration within a length: its end, or None where it is left out or nothing learned is left."""
        return fitted_demonstration(found, lengths.fitted(row.place, found.tokens))


def fitted_demonstration(found: Demonstration, tokens: tuple[int, ...] | None) -> Demonstration | None:
    """Return a demonstration cut to its last tokens, or None where nothing of them is learned."""
    if tokens is None or len(tokens) == len(found.tokens):
        return None if tokens is None else found
    mask = found.mask[len(found.tokens) - len(tokens) :]
    return replace(found, tokens=tokens, mask=mask) if 1 in mask else None


def supervised_batch(rows: Sequence[Demonstration]) -> TrainBatch:
    """Return demonstrations as one batch.

    mask_T is 1 on what is learned: an answer with its end of sequence.  advantages_T is 1 there: likelihood is the
    policy gradient whose every advantage is one.  Nothing was sampled: rollout_logprobs_T is 0 and versions_T is -1
    everywhere.
    """
    tokens_T = torch.tensor([t for row in rows for t in row.tokens], dtype=torch.int64)
    mask_T = torch.frombuffer(bytearray(b"".join(row.mask for row in rows)), dtype=torch.uint8).to(torch.float32)
    return TrainBatch(
        tokens_T=tokens_T,
        lengths_N=tuple(len(row.tokens) for row in rows),
        mask_T=mask_T,
        rollout_logprobs_T=torch.zeros_like(mask_T),
        versions_T=torch.full_like(tokens_T, -1),
        advantages_T=mask_T.clone(),
    )


def as_demonstration(source: TextSource[Never], answer_key: str) -> DemonstrationSource[Never]:
    """Return a source of answers as one of demonstrations, whose answer is learned."""
    return DemonstrationSource(
        path=source.path,
        hub=source.hub,
        function=source.function,
        format=source.format,
        code=source.code,
        input_key=source.input_key,
        tools_key=source.tools_key,
        label_key=answer_key,
        apply_chat_template=source.apply_chat_template,
        learn="last",
    )


def demonstration(
    row: Row, source: DemonstrationSource[Never], tokenizer: TextTokenizer, faults: RowFaults
) -> Demonstration | None:
    """Return a row with its answer, or None after adding what is wrong with it."""
    given, tools = read_input(row, source, faults), read_tools(row, source, faults)
    if given is None or tools is None:
        return None
    text, messages = given
    label = ""
    if not messages or messages[-1]["role"] != "assistant":
        answer = _label(row, source, faults)
        if answer is None:
            return None
        label = answer
        messages = (*messages, {"role": "assistant", "content": label}) if messages else ()
    learned = _learned(row, source, messages, faults)
    if learned is None:
        return None
    try:
        if messages:
            tokens, mask = tokenizer.conversation(messages, tools, lambda index: index in learned)
        else:
            prompt, reply = tokenizer.encode(text), ended(tokenizer.encode(label), tokenizer.eos_token_id)
            tokens, mask = prompt + reply, bytes(len(prompt)) + b"\1" * len(reply)
    except SpecError as error:
        add_refusal(row, error, faults)
        return None
    if mask[:1] != b"\0":
        add_empty(row, faults)
        return None
    if 1 not in mask:
        wrong_type(row, _NOTHING_LEARNED, faults)
        return None
    return Demonstration(source=str(row.place), tokens=tokens, mask=mask)


def _learned(
    row: Row, source: DemonstrationSource[Never], messages: Sequence[Message], faults: RowFaults
) -> frozenset[int] | None:
    """The indices of the messages that are learned, or None after adding a fault of a mark."""
    said = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if source.learn == "last" or not messages:
        return frozenset(said[-1:])
    if source.learn == "assistant":
        return frozenset(said)
    marks = {index: messages[index].get(source.mark_key, 1) for index in said}
    wrong = [mark for mark in marks.values() if mark not in (0, 1)]
    if wrong:
        wrong_type(row, f'"{source.mark_key}" of a message has to be 0 or 1, and is {wrong[0]!r}', faults)
        return None
    if not any(marks.values()):
        wrong_type(row, _NOTHING_LEARNED, faults)
        return None
    return frozenset(index for index, mark in marks.items() if mark)


def _label(row: Row, source: DemonstrationSource[Never], faults: RowFaults) -> str | None:
    value = value_at(row, source.label_key, faults)
    if isinstance(value, str):
        return value
    if not isinstance(value, Missing):
        wrong_type(row, f'"{source.label_key}" has to be the text to imitate, and is {type_name(value)}', faults)
    return None


def ended(answer: tuple[int, ...], eos_token_id: int) -> tuple[int, ...]:
    """Return an answer up to its last end of sequence, which is added where there is none."""
    if eos_token_id not in answer:
        return (*answer, eos_token_id)
    last = len(answer) - 1 - answer[::-1].index(eos_token_id)
    return answer[: last + 1]
