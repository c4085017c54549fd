"""A tokenizer of files with a chat template and merges of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from runtime.data.huggingface_tokenizer import HuggingFaceTokenizer


def tokenizer_with(
    directory: Path, template: str, *merges: tuple[str, str], special: Sequence[str] = (), added: Sequence[str] = ()
) -> HuggingFaceTokenizer:
    """Write a tokenizer of bytes to a directory, and read it; each merge makes a token of two others.

    Args:
        special: texts that are special tokens, beside the end of sequence.
        added: texts that are tokens of their own, and not called special.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {c: i for i, c in enumerate([*letters, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(ids, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    fast.add_tokens([AddedToken(text, special=True) for text in special])
    fast.add_tokens([AddedToken(text, special=False) for text in added])
    fast.chat_template = template
    fast.save_pretrained(str(directory))
    return HuggingFaceTokenizer(directory)
