"""A tiny reward model of random weights, as Hugging Face saves it, with the tokenizer of the tiny experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from runtime.data.tokenizers import CharacterTokenizer

ALPHABET = "0123456789+="


def save_scorer(directory: Path) -> Path:
    """Write the model into a folder, and return that."""
    torch.manual_seed(7)
    facts: dict[str, Any] = {
        "vocab_size": 16,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "num_labels": 1,
        "pad_token_id": 0,
    }
    Qwen3ForSequenceClassification(Qwen3Config(**facts)).save_pretrained(str(directory))
    CharacterTokenizer(ALPHABET).save(directory)
    return directory
