"""Prompts: rows as tokens to sample from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.data import DataSource, TextSource
from compiler.ir.openness import Off
from runtime.data.jsonl import Dropped, Missing, Row, RowFaults, type_name, value_at, wrong_type
from runtime.data.lengths import LengthLimit, Limit, OverlongPolicy
from runtime.data.reading import Effort, load_all
from runtime.data.tables import Columns
from runtime.data.tokenizers import TextTokenizer
from runtime.data.turns import Tools
from stdlib.samples import JsonValue, Message, Prompt

_NO_TEMPLATE = "RLC0604"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSet:
    """The prompts of a data set, in the order of its sources; how many rows were too long: left out, or cut.

    `dropped` are the rows that were left out because something is wrong with them.
    """

    prompts: tuple[Prompt, ...]
    num_overlong: int
    dropped: Dropped


def load_prompts(
    sources: Sequence[DataSource[Never]],
    tokenizer: TextTokenizer,
    *,
    root: Path,
    max_prompt_tokens: int,
    overlong: OverlongPolicy,
    effort: Effort | None = None,
) -> PromptSet:
    """Return the prompts of all sources, one after another; paths are relative to `root`.

    `Prompt.source` is `file:line`, `Prompt.row` the index in the data set, rows that were dropped included.
    Raises: SpecError with every fault of the sources, as `load_all`.
    """
    limit = prompt_limit(max_prompt_tokens, overlong)
    return read_prompts(sources, PromptReading(tokenizer), limit, root=root, effort=effort or Effort())


def read_prompts(
    sources: Sequence[DataSource[Never]], reading: PromptReading, limit: Limit, *, root: Path, effort: Effort
) -> PromptSet:
    """Return the prompts of all sources as a reading makes them of rows.  Raises: as `load_prompts`."""
    found = load_all(sources, reading, limit, root=root, effort=effort)
    return PromptSet(prompts=tuple(found.rows), num_overlong=found.num_overlong, dropped=found.dropped)


def prompt_limit(max_prompt_tokens: int, overlong: OverlongPolicy) -> Limit:
    """Return the limit of prompts to sample from."""
    return Limit(max_prompt_tokens, overlong, "rollout.max_prompt_tokens")


class PromptReading:
    """Turns rows into prompts.

    Args:
        needs_label: whether a row has to hold a label; where nothing is judged it does not.
        tools: those that an environment has, told to the model behind the ones of a row.
    """

    def __init__(self, tokenizer: TextTokenizer, *, needs_label: bool = True, tools: Tools = ()) -> None:
        self._tokenizer = tokenizer
        self._tools = tools
        self._needs_label = needs_label

    def columns(self, source: DataSource[Never]) -> Columns:
        """Return the keys of rows that are read."""
        label = (source.label_key,) if self._needs_label else ()
        return read_columns(source, (*label, source.metadata_key))

    def parsed(self, row: Row, source: DataSource[Never], index: int, faults: RowFaults) -> Prompt | None:
        """Return a row as a prompt, or None after adding what is wrong with it."""
        given, tools = read_input(row, source, faults), read_tools(row, source, faults)
        label = value_at(row, source.label_key, faults) if self._needs_label else None
        metadata = None if isinstance(source.metadata_key, Off) else value_at(row, source.metadata_key, faults)
        if given is None or tools is None or isinstance(label, Missing) or isinstance(metadata, Missing):
            return None
        text, messages = given
        try:
            text = self._tokenizer.chat_text(messages, [*tools, *self._tools]) if messages else text
            tokens = self._tokenizer.encode(text)
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

    def fitted(self, found: Prompt, row: Row, lengths: LengthLimit, faults: RowFaults) -> Prompt | None:
        """Return a prompt within a length, or None where it is left out."""
        tokens = lengths.fitted(row.place, found.tokens)
        if tokens is None or len(tokens) == len(found.tokens):
            return None if tokens is None else found
        return replace(found, tokens=tokens, text=self._tokenizer.decode(tokens))


def read_columns(source: TextSource[Never], needed: Sequence[str | Off], others: Sequence[str] = ()) -> Columns:
    """Return the keys of rows that are read: the prompt, `needed` of every row, `others` of rows that have them."""
    keys = (source.input_key, source.tools_key, *needed)
    return Columns(tuple(key for key in keys if isinstance(key, str)), tuple(others))


def read_messages(value: JsonValue) -> tuple[Message, ...] | str:
    """Return a value as chat messages, or what it would have to be.

    A message has a text `role`, and a text `content` unless it calls tools; keys that hold null are left out, others
    are kept as they are: templates read `tool_calls`, `name`, `reasoning_content` and the like.
    """
    if not isinstance(value, list) or not value:
        return f'a text or a list of {{"role": ..., "content": ...}} with texts, and is {type_name(value)}'
    found: list[Message] = []
    for item in value:
        if not isinstance(item, dict):
            return f"a list of messages, and holds {type_name(item)}"
        message = {key: one for key, one in item.items() if one is not None}
        calls = message.get("tool_calls", [])
        if not isinstance(message.get("role"), str):
            return 'messages with a text "role"'
        if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
            return 'messages whose "tool_calls" are a list of {"function": {"name": ..., "arguments": ...}}'
        if not isinstance(message.get("content", "" if calls else None), str):
            return 'messages with a text "content", and one without it calls no tool'
        found.append(message)
    return tuple(found)


def _is_call(call: JsonValue) -> bool:
    if not isinstance(call, dict):
        return False
    function = call.get("function", call)
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def read_input(row: Row, source: TextSource[Never], faults: RowFaults) -> tuple[str, tuple[Message, ...]] | None:
    """Return a row's input as (text, messages), one of which is empty, or None after adding a fault."""
    value = value_at(row, source.input_key, faults)
    if isinstance(value, Missing):
        return None
    if isinstance(value, str):
        return ("", ({"role": "user", "content": value},)) if source.apply_chat_template else (value, ())
    messages = read_messages(value)
    if isinstance(messages, str):
        wrong_type(row, f'"{source.input_key}" has to be {messages}', faults)
        return None
    return "", messages


def read_tools(row: Row, source: TextSource[Never], faults: RowFaults) -> Tools | None:
    """Return the tools of a row, none where it has none, or None after adding a fault."""
    if isinstance(source.tools_key, Off):
        return ()
    value = value_at(row, source.tools_key, faults)
    if isinstance(value, Missing):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            wrong_type(row, f'"{source.tools_key}" has to be a list of tools, and is a text that is no JSON', faults)
            return None
    if value is None:
        return ()
    if not isinstance(value, list):
        wrong_type(row, f'"{source.tools_key}" has to be a list of tools, and is {type_name(value)}', faults)
        return None
    tools = [tool for tool in value if isinstance(tool, dict)]
    if len(tools) < len(value):
        wrong_type(row, f'"{source.tools_key}" has to be a list of JSON schemas, each an object', faults)
        return None
    return tools


def add_refusal(row: Row, error: SpecError, faults: RowFaults) -> None:
    """Add what a tokenizer said about a row as a fault of that row."""
    for diagnostic in error.diagnostics:
        if diagnostic.code == _NO_TEMPLATE:
            faults.add_of_all(row.place, diagnostic, note="chat messages")
            continue
        faults.add(row.place, diagnostic._replace(message=f"{row.place}: {diagnostic.message}"), note="this row")


def add_empty(row: Row, faults: RowFaults) -> None:
    """Add RLC0609: there is nothing to begin from."""
    message = f"{row.place} has an empty prompt, and the first token has to follow something"
    faults.add(row.place, Diagnostic(code="RLC0609", message=message, paths=("data.train",)), note="no tokens")
