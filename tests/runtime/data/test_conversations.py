"""Conversations: which tokens are learned, against the mask that transformers makes of a template that says it itself.

A template with `{% generation %}` and one without it, otherwise the same, have to come to the same mask: the first is
read by transformers, the second by turns.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from compiler.diagnostics.diagnostic import SpecError
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.data.demonstrations import Demonstration, load_demonstrations
from runtime.data.lengths import Limit
from runtime.data.tokenizers import TextTokenizer
from tests.support.chat_tokenizer import tokenizer_with
from tests.support.data_sources import jsonl

pytestmark = pytest.mark.torch

_BODY = "{{ m.content }}{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}<eos>"
_TURNS = (
    "{% if tools %}[tools]{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]"
    "{% if m.role == 'assistant' %}OPEN"
    + _BODY
    + "CLOSE{% else %}{{ m.content }}<eos>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
PLAIN = _TURNS.replace("OPEN", "").replace("CLOSE", "")
MARKED = _TURNS.replace("OPEN", "{% generation %}").replace("CLOSE", "{% endgeneration %}")
# Reasoning is left out of all messages but the last, as Qwen3 does it.
FORGETS = PLAIN.replace(
    "{{ m.content }}{% for", "{{ m.content if loop.last else m.content.split('</think>')[-1] }}{% for"
)

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "1+2?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3", "name": "add"},
    {"role": "assistant", "content": "it is 3"},
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "yes"},
]


def demonstrations(root: Path, tokenizer: TextTokenizer, *rows: object, **settings: Any) -> tuple[Demonstration, ...]:
    (root / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = jsonl("d.jsonl", input_key="messages", **settings)
    return load_demonstrations([source], tokenizer, root=root, limit=Limit(10_000, "error", "x")).rows


@pytest.mark.parametrize("template", [PLAIN, MARKED], ids=["found", "marked"])
@pytest.mark.parametrize("messages", [TALK, TALK[:3], TALK[1:5]], ids=["long", "ends with a call", "two"])
def test_tokens_are_those_of_the_whole_conversation_and_the_mask_that_of_transformers(
    tmp_path: Path, template: str, messages: list[dict[str, Any]]
) -> None:
    tokenizer = tokenizer_with(tmp_path / "ours", template)
    tokenizer_with(tmp_path / "marked", MARKED)
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path / "marked"), local_files_only=True)
    expected = theirs.apply_chat_template(
        messages, tools=TOOLS, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    (row,) = demonstrations(tmp_path, tokenizer, {"messages": messages, "tools": TOOLS}, tools_key="tools")
    # The line break behind the last end of sequence is left out: nothing samples it.
    count = len(row.tokens)
    assert theirs.decode(expected["input_ids"][count:]) == "\n"
    assert list(row.tokens) == expected["input_ids"][:count]
    assert list(row.mask) == expected["assistant_masks"][:count]
    assert sum(row.mask) > 0


@pytest.mark.parametrize(
    ("settings", "marks", "expected"),
    [
        ({}, {}, ["it is 3<eos>", "yes<eos>"]),
        ({"learn": "last"}, {}, ["yes<eos>"]),
        ({"learn": "marked"}, {4: 0}, ["yes<eos>"]),
        ({"learn": "marked"}, {6: 0}, ["it is 3<eos>"]),
        ({"learn": "marked", "mark_key": "weight"}, {4: 0}, ["it is 3<eos>", "yes<eos>"]),
    ],
)
def test_which_messages_are_learned_is_a_setting(
    tmp_path: Path, settings: dict[str, Any], marks: dict[int, int], expected: list[str]
) -> None:
    tokenizer = tokenizer_with(tmp_path / "t", PLAIN)
    talk = [dict(message) for message in TALK]
    for index, mark in marks.items():
        talk[index]["step_loss_mask"] = mark
    (row,) = demonstrations(tmp_path, tokenizer, {"messages": talk[3:]}, **settings)
    (whole,) = demonstrations(tmp_path, tokenizer, {"messages": TALK[3:]})
    assert row.tokens == whole.tokens[: len(row.tokens)]
    spans = [tokenizer.encode(text) for text in expected]
    assert [token for token, is_learned in zip(row.tokens, row.mask, strict=True) if is_learned] == [
        token for span in spans for token in span
    ]


def test_a_token_that_reaches_into_a_turn_is_learned_as_transformers_has_it(tmp_path: Path) -> None:
    merges = ("]", "y"), (">", "\u010a")
    tokenizer = tokenizer_with(tmp_path / "found", PLAIN, *merges)
    tokenizer_with(tmp_path / "marked", MARKED, *merges)
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path / "marked"), local_files_only=True)
    expected = theirs.apply_chat_template(TALK, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    (row,) = demonstrations(tmp_path, tokenizer, {"messages": TALK})
    assert list(row.tokens) == expected["input_ids"][: len(row.tokens)]
    assert list(row.mask) == expected["assistant_masks"][: len(row.tokens)]
    assert tokenizer.encode("]y")[0] in [token for token, mask in zip(row.tokens, row.mask, strict=True) if mask]


def test_a_turn_whose_text_depends_on_what_follows_is_found_all_the_same(tmp_path: Path) -> None:
    tokenizer = tokenizer_with(tmp_path / "t", FORGETS)
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>hm</think>b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "<think>so</think>d"},
    ]
    (row,) = demonstrations(tmp_path, tokenizer, {"messages": talk})
    assert row.tokens == tokenizer.encode(
        "[user]a<eos>\n[assistant]b<eos>\n[user]c<eos>\n[assistant]<think>so</think>d<eos>"
    )
    learned = [token for token, is_learned in zip(row.tokens, row.mask, strict=True) if is_learned]
    assert tuple(learned) == tokenizer.encode("b<eos>") + tokenizer.encode("<think>so</think>d<eos>")


def test_the_byte_tokenizer_writes_tools_and_calls_as_its_template_does(tmp_path: Path) -> None:
    own = ByteTokenizer()
    own.save(tmp_path / "t")
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path / "t"), local_files_only=True)
    shown = theirs.apply_chat_template(TALK[:4], tools=TOOLS, add_generation_prompt=True, tokenize=False)
    assert own.chat_text(TALK[:4], TOOLS) == shown
    (row,) = demonstrations(tmp_path, own, {"messages": TALK, "tools": TOOLS}, tools_key="tools")
    whole = theirs.apply_chat_template(TALK, tools=TOOLS, tokenize=False)
    assert row.tokens == (*own.encode(whole.removesuffix("\n")), own.eos_token_id)
    call = json.dumps([CALL])
    learned = [token for token, is_learned in zip(row.tokens, row.mask, strict=True) if is_learned]
    assert tuple(learned) == (*own.encode(f"{call}\nit is 3\nyes"), own.eos_token_id)


def test_tools_may_be_a_json_text_and_null_is_none(tmp_path: Path) -> None:
    own = ByteTokenizer()
    as_list, as_text, without = demonstrations(
        tmp_path,
        own,
        {"messages": TALK, "tools": TOOLS},
        {"messages": TALK, "tools": json.dumps(TOOLS)},
        {"messages": TALK, "tools": None},
        tools_key="tools",
    )
    assert as_list.tokens == as_text.tokens
    assert own.decode(without.tokens).startswith("system: be short")


@pytest.mark.parametrize(
    ("row", "settings", "words"),
    [
        ({"messages": [{"role": "user"}, TALK[-1]]}, {}, 'messages with a text "content"'),
        ({"messages": [{"content": "x"}]}, {}, 'messages with a text "role"'),
        ({"messages": [TALK[1], {"role": "assistant", "tool_calls": [3]}]}, {}, '"tool_calls" are a list of'),
        ({"messages": TALK, "t": 3}, {"tools_key": "t"}, '"t" has to be a list of tools, and is a number'),
        ({"messages": TALK, "t": "no"}, {"tools_key": "t"}, "is a text that is no JSON"),
        (
            {"messages": [TALK[1], {**TALK[-1], "w": 2}]},
            {"learn": "marked", "mark_key": "w"},
            "has to be 0 or 1, and is 2",
        ),
        (
            {"messages": [TALK[1], {**TALK[-1], "w": 0}]},
            {"learn": "marked", "mark_key": "w"},
            "no message of the assistant",
        ),
    ],
)
def test_what_is_no_conversation_is_refused_at_its_line(
    tmp_path: Path, row: object, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        demonstrations(tmp_path, ByteTokenizer(), row, **settings)
    (fault,) = caught.value.diagnostics
    assert fault.code == "RLC0603"
    assert words in fault.message
    assert fault.message.startswith("d.jsonl:1: ")
