"""Demonstrations: prompts with the answer to imitate, as supervised training reads them.

Shape letters: N sequences, T tokens of all sequences end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import DataSource
from runtime.data.context_limit import Limit
from runtime.data.jsonl import Dropped, Missing, Row, RowFaults, read_rows, type_name, value_at, wrong_type
from runtime.data.prompts import LengthLimit, MalformedPolicy, add_empty, add_refusal, read_input
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """A prompt and its answer as one sequence; the tokens from `num_prompt_tokens` on are learned."""

    source: str
    tokens: tuple[int, ...]
    num_prompt_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationSet:
    """The demonstrations of a data set, in the order of its files; rows that were too long, and left out or cut."""

    rows: tuple[Demonstration, ...]
    num_overlong: int
    dropped: Dropped


def load_demonstrations(
    sources: Sequence[DataSource],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    limit: Limit,
    malformed: MalformedPolicy = "error",
) -> DemonstrationSet:
    """Return the demonstrations of all files; paths are relative to `root`.

    A text input is followed by the label's text and the end of sequence.  Chat messages that end with the assistant's
    are learned as they are, and the label is not read; otherwise the label is the assistant's message.  What a chat
    template writes behind its last end-of-sequence token is left out; where it writes none, one is added.
    Raises: SpecError with every fault of the files (RLC0601 to RLC0609), at most 20 of them in full.
    """
    faults = RowFaults(drops=malformed == "drop")
    lengths = LengthLimit(limit.tokens, limit.policy, path=limit.field)
    found: list[Demonstration] = []
    num_rows = 0
    for source in sources:
        for row in read_rows(root / source.path, name=source.path, faults=faults):
            num_rows += 1
            read = demonstration(row, source, tokenizer, faults)
            tokens = None if read is None else lengths.fitted(row.place, read.tokens)
            if read is not None and tokens is not None:
                num_prompt = max(0, read.num_prompt_tokens - (len(read.tokens) - len(tokens)))
                found.append(replace(read, tokens=tokens, num_prompt_tokens=num_prompt))
    lengths.report(faults, num_rows=num_rows)
    dropped = faults.raise_if_any(num_kept=len(found))
    return DemonstrationSet(rows=tuple(found), num_overlong=lengths.num_over, dropped=dropped)


def supervised_batch(rows: Sequence[Demonstration]) -> TrainBatch:
    """Return demonstrations as one batch.

    mask_T is 1 on the answer with its end of sequence.  advantages_T is 1 there: likelihood is the policy gradient
    whose every advantage is one.  Nothing was sampled: rollout_logprobs_T is 0 and versions_T is -1 everywhere.
    """
    tokens_T = torch.tensor([t for row in rows for t in row.tokens], dtype=torch.int64)
    mask_T = torch.cat([(torch.arange(len(row.tokens)) >= row.num_prompt_tokens).to(torch.float32) for row in rows])
    return TrainBatch(
        tokens_T=tokens_T,
        lengths_N=tuple(len(row.tokens) for row in rows),
        mask_T=mask_T,
        rollout_logprobs_T=torch.zeros_like(mask_T),
        versions_T=torch.full_like(tokens_T, -1),
        advantages_T=mask_T.clone(),
    )


def demonstration(row: Row, source: DataSource, tokenizer: TextTokenizer, faults: RowFaults) -> Demonstration | None:
    """Return a row with its answer, or None after adding what is wrong with it."""
    given = read_input(row, source, faults)
    if given is None:
        return None
    text, messages = given
    if messages and messages[-1]["role"] == "assistant":
        label = ""
    else:
        answer = _label(row, source, faults)
        if answer is None:
            return None
        label = answer
        messages = (*messages, {"role": "assistant", "content": label}) if messages else ()
    try:
        if messages:
            prompt, answer_tokens = tokenizer.split_conversation(messages)
        else:
            prompt, answer_tokens = tokenizer.encode(text), tokenizer.encode(label)
    except SpecError as error:
        add_refusal(row, error, faults)
        return None
    if not prompt:
        add_empty(row, faults)
        return None
    return Demonstration(
        source=str(row.place),
        tokens=prompt + ended(answer_tokens, tokenizer.eos_token_id),
        num_prompt_tokens=len(prompt),
    )


def _label(row: Row, source: DataSource, faults: RowFaults) -> str | None:
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
