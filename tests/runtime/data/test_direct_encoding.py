"""Texts become the ids that transformers makes of them, whether it is asked or the library below it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from runtime.data import huggingface_tokenizer
from runtime.data.huggingface_tokenizer import HuggingFaceTokenizer
from tests.support.chat_tokenizer import tokenizer_with

pytestmark = pytest.mark.torch

MERGES = (("a", "b"), ("ab", "a"), ("<", "e"))
TEXTS = st.lists(st.sampled_from(["<eos>", "ab", "aba", " ", "é", "\n", "<e", "日", "🙂"]) | st.text(), max_size=8).map(
    "".join
)
Theirs = Callable[[str], tuple[int, ...]]


def saved(folder: Path, **settings: Any) -> Path:
    """Write a tokenizer whose files ask for cuts, padding, and tokens around every text."""
    tokenizer_with(folder, "{{ messages }}", *MERGES)
    files: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    eos = next(token["id"] for token in files["added_tokens"] if token["content"] == "<eos>")
    files["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    files["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": eos,
        "pad_type_id": 0,
        "pad_token": "<eos>",
    }
    files["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<eos>": {"id": "<eos>", "ids": [eos], "tokens": ["<eos>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(files))
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    return folder


def theirs_of(folder: Path) -> Theirs:
    asked: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    return lambda text: tuple(asked.encode(text, add_special_tokens=False))


@pytest.fixture(scope="module", params=[False, True], ids=["special tokens", "spelt out"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[HuggingFaceTokenizer, Theirs]:
    folder = saved(tmp_path_factory.mktemp("t") / "t", split_special_tokens=request.param)
    return HuggingFaceTokenizer(folder), theirs_of(folder)


@given(text=TEXTS)
def test_ids_are_those_of_transformers(both: tuple[HuggingFaceTokenizer, Theirs], text: str) -> None:
    ours, theirs = both
    assert ours.encode(text) == theirs(text)


def test_a_tokenizer_that_adds_something_of_its_own_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "t")

    def doubled(self: Any, text: str, **settings: Any) -> list[int]:
        return PreTrainedTokenizerFast.encode(self, text + text, **settings)

    plain = HuggingFaceTokenizer(folder).encode("ab")
    adding = type("Adding", (PreTrainedTokenizerFast,), {"encode": doubled})
    monkeypatch.setattr(huggingface_tokenizer, "AutoTokenizer", adding)
    assert HuggingFaceTokenizer(folder).encode("ab") == plain + plain != plain
