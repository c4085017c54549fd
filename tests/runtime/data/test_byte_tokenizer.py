"""The byte tokenizer against UTF-8 itself and against transformers reading what it saves."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from runtime.data.byte_tokenizer import ByteTokenizer

pytestmark = pytest.mark.torch

USER = {"role": "user", "content": "hi"}
ASSISTANT = {"role": "assistant", "content": "yo"}
OWN = ByteTokenizer()


@given(st.text(max_size=30))
def test_any_text_comes_back_as_it_went(text: str) -> None:
    assert OWN.decode(OWN.encode(text)) == text


def test_ids_are_bytes_behind_two_special_tokens() -> None:
    assert OWN.encode("A\u00e9") == (2 + 0x41, 2 + 0xC3, 2 + 0xA9)
    assert (OWN.pad_token_id, OWN.eos_token_id, OWN.vocab_size) == (0, 1, 258)
    assert OWN.decode([0, 2 + 0x41, 1, 258, 999]) == "A"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert OWN.decode([2 + 0xC3]) == "\ufffd"


def test_half_a_surrogate_pair_has_tokens_too() -> None:
    assert len(OWN.encode("\ud800")) == 3


def test_what_sampling_sees_is_not_learned_and_the_answer_is() -> None:
    before, answer = OWN.encode("user: hi\nassistant: "), (*OWN.encode("yo"), OWN.eos_token_id)
    found = OWN.conversation([USER, ASSISTANT], (), lambda index: True)
    assert found == (before + answer, bytes(len(before)) + b"\1" * len(answer))


def test_transformers_reads_the_same_ids_and_the_same_template_from_what_is_saved(tmp_path: Path) -> None:
    OWN.save(tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    text = "".join(map(chr, range(256))) + " \u4e2d\U0001f600  \n\n assistant's <eos"
    assert theirs.encode(text, add_special_tokens=False) == list(OWN.encode(text))
    assert theirs.decode([*OWN.encode(text), 1], skip_special_tokens=True) == text
    assert (theirs.pad_token_id, theirs.eos_token_id, len(theirs)) == (0, 1, 258)
    for messages in ([USER], [USER, ASSISTANT, USER]):
        shown = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        assert shown == OWN.chat_text(messages)
