"""RLC0319 (CFG-07): every token that a described tokenizer has is a row of the embedding table."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.rules.tokens_fit_the_vocabulary import BYTE_TOKENS, SPECIAL_CHARACTERS
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.data.tokenizers import SPECIAL_TOKENS, CharacterTokenizer
from tests.support.good_spec import codes


@pytest.mark.parametrize(("rows", "found"), [("7", []), ("6", ["RLC0319"]), ("100", [])])
def test_an_alphabet_and_its_special_tokens_have_rows(tmp_path: Path, rows: str, found: list[str]) -> None:
    assert codes(tmp_path, {"model.tokenizer.alphabet": '"abc"', "model.vocab_size": rows}) == found


@pytest.mark.parametrize(("alphabet", "found"), [('"abc"', []), ('"abca"', ["RLC0319"])])
def test_a_character_has_one_token(tmp_path: Path, alphabet: str, found: list[str]) -> None:
    assert codes(tmp_path, {"model.tokenizer.alphabet": alphabet}) == found


@pytest.mark.parametrize(("rows", "found"), [("258", []), ("257", ["RLC0319"])])
def test_bytes_and_their_special_tokens_have_rows(tmp_path: Path, rows: str, found: list[str]) -> None:
    assert codes(tmp_path, {"model.tokenizer.kind": '"bytes"', "model.vocab_size": rows}) == found


def test_the_rule_counts_as_the_tokenizers_of_a_run_do() -> None:
    assert len(SPECIAL_TOKENS) == SPECIAL_CHARACTERS
    assert CharacterTokenizer("abc").vocab_size == 3 + SPECIAL_CHARACTERS
    assert ByteTokenizer().vocab_size == BYTE_TOKENS
