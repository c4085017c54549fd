"""Tokenizers: characters against the ids that they promise, Hugging Face files against transformers itself."""

import json
from pathlib import Path
from typing import Any, Literal, Never

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.model import Model
from compiler.ir.model import Tokenizer as TokenizerSettings
from compiler.ir.openness import OFF, Off
from runtime.data.tokenizers import CharacterTokenizer, HuggingFaceTokenizer, load_tokenizer
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

ALPHABET = "0123456789+= \n<>eos"
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
USER = {"role": "user", "content": "hi"}
ASSISTANT = {"role": "assistant", "content": "yo"}


def model(
    *, kind: Literal["huggingface", "characters"], alphabet: str | Off = OFF, hf: str | Off = OFF, vocab_size: int = 300
) -> Model[Never]:
    return tiny_model(
        hf=hf,
        weights="random" if isinstance(hf, Off) else hf,
        vocab_size=vocab_size,
        tokenizer=TokenizerSettings(kind=kind, alphabet=alphabet),
    )


def write_byte_tokenizer(directory: Path, template: str | None = TEMPLATE) -> Path:
    """A byte-level tokenizer without merges: one token for each byte, beside one special token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    fast.chat_template = template
    fast.save_pretrained(str(directory))
    return directory


@given(text=st.text(alphabet=ALPHABET, max_size=30))
def test_characters_come_back_as_they_went(text: str) -> None:
    tokenizer = CharacterTokenizer(ALPHABET)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_follow_the_alphabet_behind_four_special_tokens() -> None:
    tokenizer = load_tokenizer(model(kind="characters", alphabet="ab c"), root=Path())
    assert tokenizer.encode("cab ") == (7, 4, 5, 6)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.vocab_size) == (0, 2, 8)
    assert tokenizer.decode([1, 4, 0, 3, 5, 2, 99]) == "ab"


def test_saved_characters_read_by_transformers_have_the_same_ids(tmp_path: Path) -> None:
    own = CharacterTokenizer("0123+= \n")
    own.save(tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    text = "1 + 2 =\n3"
    assert theirs.encode(text, add_special_tokens=False) == list(own.encode(text))
    assert theirs.decode([*own.encode(text), 2], skip_special_tokens=True) == text
    assert (theirs.pad_token_id, theirs.eos_token_id, len(theirs)) == (0, 2, own.vocab_size)


def test_saved_characters_load_again_as_a_hugging_face_tokenizer(tmp_path: Path) -> None:
    CharacterTokenizer("01+ ").save(tmp_path / "m")
    again = load_tokenizer(model(kind="huggingface", hf="m"), root=tmp_path)
    assert again.encode("1 +") == CharacterTokenizer("01+ ").encode("1 +")


def test_a_character_without_a_token_is_named_and_refused() -> None:
    with pytest.raises(SpecError, match="RLC0606: 'x', 'y' has no token"):
        CharacterTokenizer("01").encode("0xy1")


def test_characters_have_no_chat_template() -> None:
    with pytest.raises(SpecError, match="RLC0604"):
        CharacterTokenizer("hi").chat_text([USER])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (model(kind="characters", alphabet="aba"), "more than once"),
        (model(kind="characters"), "no alphabet"),
        (model(kind="characters", alphabet="abc", vocab_size=6), "has 7 tokens, but model.vocab_size = 6"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(settings: Model[Never], words: str) -> None:
    with pytest.raises(SpecError, match=f"RLC0607: .*{words}"):
        load_tokenizer(settings, root=Path())


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="RLC0617: nowhere is not a directory"):
        load_tokenizer(model(kind="huggingface", hf="nowhere"), root=tmp_path)
    with pytest.raises(SpecError, match=r"RLC0617: .*weights are random"):
        load_tokenizer(model(kind="huggingface"), root=tmp_path)
    with pytest.raises(SpecError, match="RLC0617: no tokenizer can be read"):
        load_tokenizer(model(kind="huggingface", hf="."), root=tmp_path)


def test_no_code_of_a_model_directory_runs(tmp_path: Path) -> None:
    write_byte_tokenizer(tmp_path)
    mark = tmp_path / "it_ran"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: ...\n")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(SpecError, match=r"RLC0617: .*custom code"):
        HuggingFaceTokenizer(tmp_path)
    assert not mark.exists()


def test_text_gets_no_special_tokens_and_decoding_drops_them(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path))
    tokens = tokenizer.encode("2 + 2")
    assert len(tokens) == 5
    assert tokenizer.eos_token_id not in tokens
    assert tokenizer.decode([*tokens, tokenizer.eos_token_id]) == "2 + 2"
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 256
    assert tokenizer.vocab_size == 257


def test_the_chat_template_is_that_of_transformers(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path))
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    expected = theirs.apply_chat_template([USER], add_generation_prompt=True, return_dict=False)
    assert tokenizer.encode(tokenizer.chat_text([USER])) == tuple(expected)
    assert tokenizer.chat_text([USER]) == "<|user|>hi<eos>\n<|assistant|>"


def test_what_sampling_sees_is_not_learned_and_the_answer_is(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path))
    before, answer = tokenizer.encode(tokenizer.chat_text([USER])), (*tokenizer.encode("yo"), tokenizer.eos_token_id)
    found = tokenizer.conversation([USER, ASSISTANT], (), lambda index: True)
    assert found == ((*before, *answer), bytes(len(before)) + b"\1" * len(answer))


def test_a_template_that_does_not_let_turns_be_told_is_refused(tmp_path: Path) -> None:
    template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path, template))
    with pytest.raises(SpecError, match=r"RLC0608: .*does not let it be told what the assistant wrote"):
        tokenizer.conversation([USER, ASSISTANT], (), lambda index: True)


def test_a_template_that_refuses_messages_says_why(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path, "{{ raise_exception('no system, please') }}"))
    with pytest.raises(SpecError, match=r"RLC0608: .*no system, please"):
        tokenizer.chat_text([USER])


def test_templates_run_in_a_sandbox(tmp_path: Path) -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path, template))
    with pytest.raises(SpecError, match=r"RLC0608: .*unsafe"):
        tokenizer.chat_text([USER])


def test_a_tokenizer_without_template_refuses_messages(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="RLC0604"):
        HuggingFaceTokenizer(write_byte_tokenizer(tmp_path, None)).chat_text([USER])


def test_a_saved_tokenizer_keeps_ids_and_template(tmp_path: Path) -> None:
    tokenizer = HuggingFaceTokenizer(write_byte_tokenizer(tmp_path / "one"))
    tokenizer.save(tmp_path / "two")
    again = HuggingFaceTokenizer(tmp_path / "two")
    assert again.chat_text([USER]) == tokenizer.chat_text([USER])
    assert again.encode("hi <eos>") == tokenizer.encode("hi <eos>")
