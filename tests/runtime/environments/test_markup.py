"""What templates write between two turns, against the whole conversation as transformers renders it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.environments.markup import between_turns
from stdlib.samples import Message
from tests.support.chat_tokenizer import tokenizer_with

pytestmark = pytest.mark.torch

# Cut down to turns: how ChatML (Qwen), Llama 3 and GLM-4.5 write them.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% if m.role == 'tool' %}<tool_response>\n{{ m.content }}\n</tool_response>{% else %}{{ m.content }}{% endif %}"
    "<eos>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{% for m in messages %}<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GLM = (
    "[gMASK]<sop>{% for m in messages %}<|{{ 'observation' if m.role == 'tool' else m.role }}|>\n{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Takes the result of a tool only after a call with an id, and writes no content beside calls.
MISTRAL = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% elif m.role == 'tool' %}{% if loop.index0 == 0 or not messages[loop.index0 - 1].tool_calls %}"
    "{{ raise_exception('no call') }}{% endif %}[TOOL_RESULTS] {{ m.content }} {{ m.tool_call_id }}[/TOOL_RESULTS]"
    "{% elif m.tool_calls %}[TOOL_CALLS] {{ m.tool_calls[0].id }}<eos>{% else %} {{ m.content }}<eos>{% endif %}"
    "{% endfor %}"
)
# Writes a system turn in front of the last user message: another answer moves it.
MOVES = "{% for m in messages %}{% if loop.last %}<|tools|>{% endif %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
FORGETS = "{% for m in messages %}{% if m.role != 'assistant' %}<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}"
# Qwen3 leaves out of earlier turns what they reasoned.
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

ASKED: Sequence[Message] = ({"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"})
FOUR: Sequence[Message] = ({"role": "tool", "name": "calculator", "content": "4"},)


@pytest.mark.parametrize("template", [CHATML, LLAMA], ids=["chatml", "llama"])
@pytest.mark.parametrize("answer", [FOUR, ({"role": "user", "content": "Sure?"},)], ids=["tool", "user"])
def test_what_is_appended_makes_the_conversation_that_the_template_writes(
    tmp_path: Path, template: str, answer: Sequence[Message]
) -> None:
    tokenizer = tokenizer_with(tmp_path, template)
    said: Message = {"role": "assistant", "content": "I add."}
    behind = between_turns(tokenizer, ASKED, answer, (), ended_with="<eos>")
    whole = tokenizer.chat_text([*ASKED, said, *answer])
    assert tokenizer.chat_text(ASKED) + "I add.<eos>" + behind == whole


def test_a_turn_that_ended_without_a_token_gets_the_end_that_the_template_writes(tmp_path: Path) -> None:
    tokenizer = tokenizer_with(tmp_path, CHATML)
    behind = between_turns(tokenizer, ASKED, FOUR, (), ended_with="")
    assert behind == "<eos>\n<|im_start|>user\n<tool_response>\n4\n</tool_response><eos>\n<|im_start|>assistant\n"


def test_a_role_mark_that_the_policy_drew_as_its_end_is_not_written_twice(tmp_path: Path) -> None:
    tokenizer = tokenizer_with(tmp_path, GLM)
    assert between_turns(tokenizer, ASKED, FOUR, (), ended_with="<|observation|>") == "\n4<|assistant|>"
    assert between_turns(tokenizer, ASKED, FOUR, (), ended_with="") == "<|observation|>\n4<|assistant|>"


@pytest.mark.parametrize("ended_with", ["<eos>", ""])
def test_a_template_that_takes_results_only_after_calls_is_given_calls(tmp_path: Path, ended_with: str) -> None:
    tokenizer = tokenizer_with(tmp_path, MISTRAL)
    behind = between_turns(tokenizer, ASKED[1:], FOUR, (), ended_with=ended_with)
    assert behind == ("" if ended_with else "<eos>") + "[TOOL_RESULTS] 4 000000000[/TOOL_RESULTS]"


def test_what_a_template_does_to_earlier_turns_of_the_assistant_does_not_matter(tmp_path: Path) -> None:
    tokenizer = tokenizer_with(tmp_path, THINKS)
    behind = between_turns(tokenizer, ASKED, ({"role": "user", "content": "Sure?"},), (), ended_with="<eos>")
    assert behind == "\n<|im_start|>user\nSure?<eos>\n<|im_start|>assistant\n"


def test_the_template_of_bytes_is_appended_to_as_well() -> None:
    assert between_turns(ByteTokenizer(), ASKED, FOUR, (), ended_with="<eos>") == "\ntool: 4\nassistant: "


@pytest.mark.parametrize(
    ("template", "words"),
    [(MOVES, "writes the prompt otherwise"), (FORGETS, "does not write what the assistant said")],
)
def test_a_template_that_rewrites_what_was_sampled_is_refused(tmp_path: Path, template: str, words: str) -> None:
    tokenizer = tokenizer_with(tmp_path, template)
    with pytest.raises(SpecError, match=words) as fault:
        between_turns(tokenizer, ASKED, FOUR, (), ended_with="<eos>")
    assert fault.value.diagnostics[0].code == "RLC0740"
