"""A model written in the Hugging Face layout, which any tool of that world reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Never

from safetensors.torch import save_file
from torch import Tensor

from compiler.ir.model import Model
from runtime.data.tokenizers import TextTokenizer
from runtime.engines.architecture import architecture
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.hf_families import hf_family
from runtime.weights.expert_layout import as_stored


def save_model(
    directory: Path, weights: Mapping[str, Tensor], *, model: Model[Never], tokenizer: TextTokenizer
) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into an existing directory.

    The weights keep their number format; with tied embeddings `lm_head.weight` is not among them.
    """
    config = hf_config(model, architecture(model))
    config.architectures = [hf_family(model.family).model.__name__]
    config.use_cache = True
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config.dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    config.save_pretrained(str(directory))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in as_stored(weights)}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(directory)
