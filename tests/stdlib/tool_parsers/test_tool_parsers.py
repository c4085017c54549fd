"""How models write calls of tools: published examples of each format, and what is malformed."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlc.catalogue import scan
from stdlib.episodes import Parsed, ToolCall

WEATHER: dict[str, dict[str, Any]] = {
    "get_current_temperature": {"location": {"type": "string"}, "unit": {"type": "string"}},
    "add": {"a": {"type": "integer"}, "b": {"type": "number"}, "tags": {"type": "array"}, "exact": {"type": "boolean"}},
}
PARIS = ToolCall("get_current_temperature", {"location": "Paris, France"})
SUM = ToolCall("add", {"a": 1, "b": 2.5, "tags": ["x"], "exact": True})
BAR, UNDER = "\uff5c", "\u2581"


def marked(text: str) -> str:
    """DeepSeek's marks, written in ASCII."""
    return text.replace("|", BAR).replace("_", UNDER)


_KIMI = "<|tool_calls_section_begin|><|tool_call_begin|>add:0<|tool_call_argument_begin|>"
_DEEPSEEK = marked("<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>") + "add\n```json\n"

EXAMPLES: list[tuple[str, str, Parsed]] = [
    (
        "hermes",
        'I look.\n<tool_call>\n{"name": "get_current_temperature", "arguments": {"location": "Paris, France"}}\n'
        '</tool_call>\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2.5, "tags": ["x"], "exact": true}}\n'
        "</tool_call>",
        Parsed("I look.", (PARIS, SUM)),
    ),
    (
        "qwen3_coder",
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2.5\n</parameter>\n"
        '<parameter=tags>\n["x"]\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n</function>\n</tool_call>',
        Parsed("", (SUM,)),
    ),
    (
        "qwen3_coder",
        "<tool_call>\n<function=get_current_temperature>\n<parameter=location>\nParis,\nFrance\n</parameter>\n</function>"
        "\n</tool_call>",
        Parsed("", (ToolCall("get_current_temperature", {"location": "Paris,\nFrance"}),)),
    ),
    (
        "llama3_json",
        '<|python_tag|>{"name": "get_current_temperature", "parameters": {"location": "Paris, France"}}',
        Parsed("", (PARIS,)),
    ),
    (
        "llama3_json",
        '{"name": "get_current_temperature", "parameters": {"location": "Paris, France"}}; '
        '{"name": "add", "parameters": {"a": 1, "b": 2.5, "tags": ["x"], "exact": true}}',
        Parsed("", (PARIS, SUM)),
    ),
    (
        "pythonic",
        "[get_current_temperature(location='Paris, France'), add(a=1, b=2.5, tags=['x'], exact=True)]",
        Parsed("", (PARIS, SUM)),
    ),
    (
        "glm4",
        'get_current_temperature\n{"location": "Paris, France"}',
        Parsed("", (PARIS,)),
    ),
    (
        "glm4_5",
        "<think>\n</think>\n<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n"
        '<arg_value>2.5</arg_value>\n<arg_key>tags</arg_key>\n<arg_value>["x"]</arg_value>\n'
        "<arg_key>exact</arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
        Parsed("<think>\n</think>", (SUM,)),
    ),
    (
        "deepseek_v3",
        "I look."
        + marked("<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>")
        + 'get_current_temperature\n```json\n{"location": "Paris, France"}\n```'
        + marked("<|tool_call_end|><|tool_calls_end|>"),
        Parsed("I look.", (PARIS,)),
    ),
    (
        "deepseek_v3_1",
        marked("<|tool_calls_begin|><|tool_call_begin|>")
        + "get_current_temperature"
        + marked("<|tool_sep|>")
        + '{"location": "Paris, France"}'
        + marked("<|tool_call_end|><|tool_calls_end|>"),
        Parsed("", (PARIS,)),
    ),
    (
        "kimi_k2",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_current_temperature:0"
        '<|tool_call_argument_begin|>{"location": "Paris, France"}<|tool_call_end|><|tool_calls_section_end|>',
        Parsed("", (PARIS,)),
    ),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "get_current_temperature", "arguments": {"location": "Paris, France"}}]',
        Parsed("", (PARIS,)),
    ),
    (
        "mistral",
        'Look:[TOOL_CALLS]get_current_temperature[ARGS]{"location": "Paris, France"}'
        '[TOOL_CALLS]add[CALL_ID]000000001[ARGS]{"a": 1, "b": 2.5, "tags": ["x"], "exact": true}',
        Parsed("Look:", (PARIS, SUM)),
    ),
    (
        "minimax_m2",
        '<minimax:tool_call>\n<invoke name="get_current_temperature">\n<parameter name="location">Paris, France'
        "</parameter>\n</invoke>\n</minimax:tool_call>",
        Parsed("", (PARIS,)),
    ),
]
PARSERS = sorted({name for name, _, _ in EXAMPLES})
BROKEN = [
    ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1}'),
    ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>'),
    ("hermes", '<tool_call>{"arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "add"}</tool_call>'),
    ("hermes", '<tool_call>{"name": "add", "arguments": [1]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>'),
    ("hermes", "<tool_call>" + "[" * 100_000 + "</tool_call>"),
    ("qwen3_coder", "<tool_call>add(1)</tool_call>"),
    ("qwen3_coder", "<tool_call><function=add>1</function></tool_call>"),
    ("qwen3_coder", "<tool_call><function=add>"),
    ("llama3_json", '{"name": "add", "parameters": '),
    ("llama3_json", "<|python_tag|>add(1)"),
    ("pythonic", "[add(1)]"),
    ("pythonic", "[add(a=__import__('os').getcwd())]"),
    ("pythonic", "[add(a=1)"),
    ("pythonic", "[" * 200_000),
    ("pythonic", f"[add(a=0x{'f' * 50_000})]"),
    ("pythonic", f"[add(0x{'f' * 50_000})]"),
    ("pythonic", f"[add(0x{'f' * 50_000})(a=1)]"),
    ("pythonic", "[add(a=1e999)]"),
    ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1e999}}</tool_call>'),
    ("llama3_json", '{"name": "add", "parameters": {"a": 1e999}}'),
    ("llama3_json", '{"name": "add", "parameters": {"a": NaN}}'),
    ("kimi_k2", _KIMI + " " * 50_000 + "x" + " " * 50_000 + "y<|tool_call_end|>"),
    ("deepseek_v3", _DEEPSEEK + " " * 50_000 + "x" + " " * 50_000 + marked("<|tool_call_end|>")),
    ("glm4_5", "<tool_call>add" + "<arg_key>" * 10_000 + "</tool_call>"),
    ("glm4_5", "<tool_call>add<arg_key>" + " " * 100_000 + "</tool_call>"),
    ("qwen3_coder", "<tool_call><function=add>" + "<parameter=a>" * 10_000 + "</function></tool_call>"),
    ("qwen3_coder", "<tool_call><function=add>" + " " * 100_000 + "<parameter</function></tool_call>"),
    ("minimax_m2", "<minimax:tool_call>" + "<invoke name=add>" * 10_000 + "</minimax:tool_call>"),
    ("mistral", "[TOOL_CALLS]add" + " " * 100_000),
    ("mistral", "[TOOL_CALLS]add[CALL_ID]b" + " " * 100_000 + "x"),
    ("glm4", "add\nwith 1 and 2"),
    ("glm4", 'add\n{"a": }'),
    ("glm4_5", "<tool_call>add to this<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"),
    ("glm4_5", "<tool_call>add<arg_key>a</arg_key></tool_call>"),
    ("glm4_5", "<tool_call>add"),
    ("deepseek_v3", marked("<|tool_calls_begin|>") + "add"),
    ("deepseek_v3", marked("<|tool_calls_begin|><|tool_call_begin|>") + "add" + marked("<|tool_call_end|>")),
    ("deepseek_v3_1", marked("<|tool_calls_begin|><|tool_call_begin|>") + "add"),
    ("kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>add<|tool_call_end|>"),
    ("mistral", "[TOOL_CALLS] [{]"),
    ("mistral", "[TOOL_CALLS]add"),
    ("minimax_m2", "<minimax:tool_call>add</minimax:tool_call>"),
    ("minimax_m2", "<minimax:tool_call>"),
]


# Marks and pieces of all formats, and what is hard to read: texts are made of these.
PIECES = (
    *(
        "<tool_call>",
        "</tool_call>",
        "<function=add>",
        "</function>",
        "<parameter=a>",
        "</parameter>",
        "<|python_tag|>",
    ),
    *(
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "[TOOL_CALLS]",
        "[CALL_ID]",
        "[ARGS]",
        "add(a=1)",
        "add",
    ),
    *("<minimax:tool_call>", "</minimax:tool_call>", '<invoke name="add">', "</invoke>", '<parameter name="a">'),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    *(marked(text) for text in ("<|tool_calls_begin|>", "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>")),
    *("function", "functions.add:0", "```json", "```", '{"name": "add", "arguments": {"a": 1}}', '{"a": 1e999}', "{}"),
    *(
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "=",
        ",",
        '"',
        "'",
        " ",
        "\n",
        "1",
        "-",
        "0x",
        "\\",
        "\ud800",
        "\0",
        "\u0661",
        "name",
    ),
)


def parse(name: str, text: str) -> Parsed:
    return import_module(f"stdlib.tool_parsers.{name}").parse(text, WEATHER)


@pytest.mark.parametrize(("name", "text", "expected"), EXAMPLES)
def test_a_published_example_is_read(name: str, text: str, expected: Parsed) -> None:
    assert parse(name, text) == expected


@pytest.mark.parametrize("name", PARSERS)
def test_an_answer_has_no_calls(name: str) -> None:
    answer = "It is 22 degrees in Paris, and the sum is 4."
    assert parse(name, answer) == Parsed(answer)


@pytest.mark.parametrize(("name", "text"), BROKEN)
def test_what_is_malformed_is_told_in_words_and_never_raised(name: str, text: str) -> None:
    found = parse(name, text)
    assert found.calls == ()
    assert len(found.malformed) == 1
    assert len(found.malformed[0]) < 250


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150)
@given(texts=st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=14))
def test_no_text_raises_anything_and_what_is_called_can_be_written_as_json(name: str, texts: list[str]) -> None:
    found = parse(name, "".join(texts))
    assert json.loads(json.dumps([call.arguments for call in found.calls], allow_nan=False)) is not None
    assert all(isinstance(why, str) and why for why in found.malformed)


def test_a_malformed_call_leaves_the_others() -> None:
    found = parse("hermes", '<tool_call>{</tool_call><tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    assert found.calls == (ToolCall("add", {"a": 1}),)
    assert len(found.malformed) == 1


def test_every_format_has_an_example() -> None:
    assert list(scan().tool_parsers) == PARSERS
