"""Demonstrations: which tokens are learned, and how rows become one batch."""

import json
from pathlib import Path
from typing import Never

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import DemonstrationSource
from runtime.data.demonstrations import Demonstration, load_demonstrations, supervised_batch
from runtime.data.lengths import Limit
from runtime.data.tokenizers import CharacterTokenizer, HuggingFaceTokenizer, TextTokenizer
from tests.support.data_sources import jsonl

pytestmark = pytest.mark.torch

DIGITS = CharacterTokenizer("0123456789+=")
SOURCE = jsonl("d.jsonl")


def load(
    root: Path, tokenizer: TextTokenizer, *rows: object, source: DemonstrationSource[Never] = SOURCE
) -> tuple[Demonstration, ...]:
    (root / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_demonstrations(
        [source], tokenizer, root=root, limit=Limit(60, "drop", "rollout.max_context_tokens")
    ).rows


def chat_tokenizer(directory: Path, template: str) -> HuggingFaceTokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    fast.chat_template = template
    fast.save_pretrained(str(directory))
    return HuggingFaceTokenizer(directory)


def chat(end: str) -> str:
    turns = "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}" + end + "\n{% endfor %}"
    return turns + "{% if add_generation_prompt %}[a]{% endif %}"


def test_a_text_is_followed_by_its_label_and_the_end_of_sequence(tmp_path: Path) -> None:
    (row,) = load(tmp_path, DIGITS, {"input": "1+1=", "label": "2"})
    assert row.tokens == (*DIGITS.encode("1+1=2"), 2)
    assert row.num_prompt_tokens == 4


def test_the_last_message_is_learned_up_to_its_end_of_sequence(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(tmp_path / "t", chat("<eos>"))
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages = [{"role": role, "content": text} for role, text in said]
    (row,) = load(tmp_path, tokenizer, {"input": messages}, source=jsonl("d.jsonl", learn="last"))
    assert row.tokens == tokenizer.encode("[u]a<eos>\n[a]b<eos>\n[u]c<eos>\n[a]d<eos>")
    assert row.tokens[row.num_prompt_tokens :] == tokenizer.encode("d<eos>")


def test_an_end_of_sequence_is_added_where_the_template_writes_none(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(tmp_path / "t", chat("!"))
    (row,) = load(tmp_path, tokenizer, {"input": [{"role": "user", "content": "a"}], "label": "b"})
    assert row.tokens[row.num_prompt_tokens :] == tokenizer.encode("b!\n<eos>")


def test_a_wrapped_text_and_its_label_are_a_conversation(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(tmp_path / "t", chat("<eos>"))
    source = jsonl("d.jsonl", apply_chat_template=True)
    (row,) = load(tmp_path, tokenizer, {"input": "a", "label": "b"}, source=source)
    assert row.tokens == tokenizer.encode("[u]a<eos>\n[a]b<eos>")
    assert row.tokens[row.num_prompt_tokens :] == tokenizer.encode("b<eos>")


def test_a_label_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r'RLC0603: d\.jsonl:1: "label" has to be the text to imitate, and is a number'):
        load(tmp_path, DIGITS, {"input": "1", "label": 2})


def test_the_limit_counts_prompt_and_answer_together(tmp_path: Path) -> None:
    rows = {"input": "1" * 29, "label": "1" * 30}, {"input": "1" * 30, "label": "1" * 30}
    found = load(tmp_path, DIGITS, *rows)
    assert [len(row.tokens) for row in found] == [60]


def test_a_batch_masks_exactly_the_answers() -> None:
    rows = [
        Demonstration(source="d:1", tokens=(4, 5, 6, 2), mask=b"\0\0\1\1"),
        Demonstration(source="d:2", tokens=(7, 2), mask=b"\0\1"),
    ]
    batch = supervised_batch(rows)
    assert batch.tokens_T.tolist() == [4, 5, 6, 2, 7, 2]
    assert batch.lengths_N == (4, 2)
    assert batch.mask_T.tolist() == [0, 0, 1, 1, 0, 1]
    assert batch.advantages_T.tolist() == [0, 0, 1, 1, 0, 1]
    assert batch.versions_T.tolist() == [-1] * 6
    assert batch.rollout_logprobs_T.tolist() == [0] * 6


@pytest.mark.parametrize(("most", "text", "num_prompt"), [(7, "12=34", 3), (4, "=34", 1), (2, "4", 0)])
def test_a_long_demonstration_that_is_cut_keeps_its_end(tmp_path: Path, most: int, text: str, num_prompt: int) -> None:
    (tmp_path / "d.jsonl").write_text('{"input": "12=", "label": "34"}\n')
    found = load_demonstrations(
        [SOURCE], DIGITS, root=tmp_path, limit=Limit(most, "truncate", "rollout.max_context_tokens")
    )
    (row,) = found.rows
    assert (row.tokens, row.num_prompt_tokens) == ((*DIGITS.encode(text), DIGITS.eos_token_id), num_prompt)
    assert found.num_overlong == (most < 6)


def test_the_field_that_limits_the_length_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"input": "11", "label": "1"}\n')
    with pytest.raises(SpecError) as caught:
        load_demonstrations(
            [jsonl("d.jsonl")],
            DIGITS,
            root=tmp_path,
            limit=Limit(3, "error", "model.max_position_tokens"),
        )
    (fault,) = caught.value.diagnostics
    assert "has 4 tokens, but max_position_tokens = 3" in fault.message
    assert [way.text for way in fault.help] == ["set model.max_position_tokens = 4", "or shorten the rows"]
