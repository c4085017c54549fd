"""A model written in the Hugging Face layout, which any tool of that world reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Never

from torch import Tensor

from compiler.ir.model import Model
from runtime.data.tokenizers import TextTokenizer
from runtime.engines.architecture import architecture
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.hf_families import hf_family
from runtime.engines.train.hf_model import holds_prediction
from runtime.weights.expert_layout import as_stored
from runtime.weights.file_names import FILE_BYTES
from runtime.weights.files import write_tensors
from runtime.weights.prediction_layers import with_copies

if TYPE_CHECKING:
    from transformers.configuration_utils import PreTrainedConfig

SCORE_HEAD = "score.weight"
SCORED_AT = "rlc_scored_at"  # the entry of config.json by which a reward model says where it was trained to be read


def save_model(
    directory: Path,
    weights: Mapping[str, Tensor],
    *,
    model: Model[Never],
    tokenizer: TextTokenizer,
    file_bytes: int = FILE_BYTES,
) -> None:
    """Write config.json, model.safetensors, or several files and an index, and the tokenizer's files into an existing
    directory.

    The weights keep their number format; with tied embeddings `lm_head.weight` is not among them.  Weights with a
    `score.weight` are those of a reward model, and the directory that of a sequence-classification model of one output,
    which says that an answer is scored with the end of sequence behind it.  Layers that predict further tokens are
    written if the weights hold them, as published checkpoints have them.
    """
    tensors = dict(as_stored(with_copies(weights, model)))
    write_tensors(directory, "model.safetensors", tensors, most=file_bytes)
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    write_settings(directory, weights, model=model, tokenizer=tokenizer, dtype=dtype)


def write_settings(
    directory: Path, names: Collection[str], *, model: Model[Never], tokenizer: TextTokenizer, dtype: str
) -> None:
    """Write what stands beside weights of these names, as models have them, in this number format."""
    config = _config(names, model, dtype)
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config.save_pretrained(str(directory))
    tokenizer.save(directory)


def write_config(directory: Path, names: Collection[str], *, model: Model[Never], dtype: str) -> None:
    """Write config.json alone."""
    _config(names, model, dtype).save_pretrained(str(directory))


def _config(names: Collection[str], model: Model[Never], dtype: str) -> PreTrainedConfig:
    config = hf_config(model, architecture(model))
    name: str = hf_family(model.family).model.__name__
    if SCORE_HEAD in names:
        name = name.replace("ForCausalLM", "ForSequenceClassification")
        config.num_labels = 1
        setattr(config, SCORED_AT, "eos")
    if holds_prediction(model, names):
        config.num_nextn_predict_layers = model.num_mtp_layers
    config.architectures = [name]
    config.use_cache = True
    config.dtype = dtype
    return config
