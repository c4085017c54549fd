"""Prompts: the rows of JSON-lines files as tokens to sample from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.data import DataSource, TextSource
from compiler.ir.openness import Off
from runtime.data.jsonl import (
    Dropped,
    Missing,
    Place,
    Row,
    RowFaults,
    num_rows_phrase,
    read_rows,
    type_name,
    value_at,
    wrong_type,
)
from runtime.data.tokenizers import TextTokenizer
from stdlib.samples import JsonValue, Message, Prompt

OverlongPolicy = Literal["error", "drop", "truncate"]
MalformedPolicy = Literal["error", "drop"]

_NO_TEMPLATE = "RLC0604"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSet:
    """The prompts of a data set, in the order of its files; how many rows were too long: left out, or cut.

    `dropped` are the rows that were left out because something is wrong with them.
    """

    prompts: tuple[Prompt, ...]
    num_overlong: int
    dropped: Dropped


class RowPolicy(NamedTuple):
    """What a row has to hold, and what becomes of one that does not; where nothing is judged it needs no label."""

    malformed: MalformedPolicy = "error"
    label: bool = True


WHOLE_ROWS = RowPolicy()


def load_prompts(
    sources: Sequence[DataSource],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    max_prompt_tokens: int,
    overlong: OverlongPolicy,
    wanted: RowPolicy = WHOLE_ROWS,
) -> PromptSet:
    """Return the prompts of all files, one after another; paths are relative to `root`.

    `Prompt.source` is `file:line`, `Prompt.row` the index in the data set, rows that were dropped included.

    Args:
        wanted: what a row has to hold.

    Raises: SpecError with every fault of the files (RLC0601 to RLC0609), at most 20 of them in full.
    """
    faults = RowFaults(drops=wanted.malformed == "drop")
    lengths = LengthLimit(max_prompt_tokens, overlong, path="rollout.max_prompt_tokens")
    prompts: list[Prompt] = []
    num_rows = 0
    for source in sources:
        for row in read_rows(root / source.path, name=source.path, faults=faults):
            prompt = _prompt(row, source, tokenizer, index=num_rows, faults=faults, needs_label=wanted.label)
            num_rows += 1
            tokens = None if prompt is None else lengths.fitted(row.place, prompt.tokens)
            if prompt is not None and tokens is not None:
                is_whole = len(tokens) == len(prompt.tokens)
                prompts.append(prompt if is_whole else replace(prompt, tokens=tokens, text=tokenizer.decode(tokens)))
    lengths.report(faults, num_rows=num_rows)
    dropped = faults.raise_if_any(num_kept=len(prompts))
    return PromptSet(prompts=tuple(prompts), num_overlong=lengths.num_over, dropped=dropped)


class LengthLimit:
    """Keeps rows within a number of tokens, and says what happened to the others; `path` is the field that sets it."""

    def __init__(self, max_tokens: int, policy: OverlongPolicy, *, path: str) -> None:
        self._max_tokens, self._policy, self._path = max_tokens, policy, path
        self._first: tuple[Place, int] | None = None
        self._longest = 0
        self.num_over = 0

    def fitted(self, place: Place, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the tokens of a row, the last ones where it is cut, or None where it is left out.

        A row that is too long is counted.
        """
        if len(tokens) <= self._max_tokens:
            return tokens
        self._first = self._first or (place, len(tokens))
        self._longest = max(self._longest, len(tokens))
        self.num_over += 1
        return tokens[-self._max_tokens :] if self._policy == "truncate" else None

    def report(self, faults: RowFaults, *, num_rows: int) -> None:
        """Add RLC0605 if rows are too long and may not be dropped, RLC0609 if dropping left none."""
        if self._first is None:
            return
        place, num_tokens = self._first
        fact = f"{num_tokens:,} tokens, but {self._path.rpartition('.')[2]} = {self._max_tokens:,}"
        others = f"{num_rows_phrase(self.num_over)} of {num_rows:,} too long, the longest {self._longest:,} tokens"
        raise_limit = Help(f"set {self._path} = {self._longest}")
        if self._policy == "error":
            drop = Help('or set rollout.overlong_prompts = "drop"', (("rollout.overlong_prompts", '"drop"'),))
            if not self._path.startswith("rollout."):
                drop = Help("or shorten the rows")
            message, code, ways = f"{place} has {fact}: {others}", "RLC0605", (raise_limit, drop)
        elif self._policy == "drop" and self.num_over == num_rows:
            message, code, ways = (
                f"every row is too long and was dropped: {place} has {fact}",
                "RLC0609",
                (raise_limit,),
            )
        else:
            return
        paths = (self._path, "rollout.overlong_prompts")
        told = Diagnostic(code=code, message=message, help=ways, paths=paths)
        faults.add_of_all(place, told, note=f"{num_tokens:,} tokens")


def read_messages(value: JsonValue) -> tuple[Message, ...] | None:
    """Return a value as chat messages, or None if it is not a list of objects with a text `role` and `content`."""
    if not isinstance(value, list) or not value:
        return None
    found: list[Message] = []
    for item in value:
        if not isinstance(item, dict):
            return None
        message = {k: v for k, v in item.items() if isinstance(v, str)}
        if len(message) != len(item) or not {"role", "content"} <= message.keys():
            return None
        found.append(message)
    return tuple(found)


def read_input(row: Row, source: TextSource, faults: RowFaults) -> tuple[str, tuple[Message, ...]] | None:
    """Return a row's input as (text, messages), one of which is empty, or None after adding a fault."""
    value = value_at(row, source.input_key, faults)
    if isinstance(value, Missing):
        return None
    if isinstance(value, str):
        return ("", ({"role": "user", "content": value},)) if source.apply_chat_template else (value, ())
    messages = read_messages(value)
    if messages is None:
        need = 'a text or a list of {"role": ..., "content": ...} with texts'
        wrong_type(row, f'"{source.input_key}" has to be {need}, and is {type_name(value)}', faults)
        return None
    return "", messages


def add_refusal(row: Row, error: SpecError, faults: RowFaults) -> None:
    """Add what a tokenizer said about a row as a fault of that row."""
    for diagnostic in error.diagnostics:
        if diagnostic.code == _NO_TEMPLATE:
            faults.add_of_all(row.place, diagnostic, note="chat messages")
            continue
        faults.add(row.place, diagnostic._replace(message=f"{row.place}: {diagnostic.message}"), note="this row")


def _prompt(
    row: Row, source: DataSource, tokenizer: TextTokenizer, *, index: int, faults: RowFaults, needs_label: bool
) -> Prompt | None:
    given = read_input(row, source, faults)
    label = value_at(row, source.label_key, faults) if needs_label else None
    metadata = None if isinstance(source.metadata_key, Off) else value_at(row, source.metadata_key, faults)
    if given is None or isinstance(label, Missing) or isinstance(metadata, Missing):
        return None
    text, messages = given
    try:
        text = tokenizer.chat_text(messages) if messages else text
        tokens = tokenizer.encode(text)
    except SpecError as error:
        add_refusal(row, error, faults)
        return None
    if not tokens:
        add_empty(row, faults)
        return None
    return Prompt(
        row=index,
        source=str(row.place),
        text=text,
        tokens=tokens,
        label=label,
        messages=messages,
        metadata=metadata,
    )


def add_empty(row: Row, faults: RowFaults) -> None:
    """Add RLC0609: there is nothing to begin from."""
    message = f"{row.place} has an empty prompt, and the first token has to follow something"
    faults.add(row.place, Diagnostic(code="RLC0609", message=message, paths=("data.train",)), note="no tokens")
