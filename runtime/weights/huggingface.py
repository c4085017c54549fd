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
from runtime.engines.train.hf_model import holds_prediction
from runtime.weights.expert_layout import as_stored
from runtime.weights.prediction_layers import with_copies

SCORE_HEAD = "score.weight"
SCORED_AT = "rlc_scored_at"  # the entry of config.json by which a reward model says where it was trained to be read


def save_model(
    directory: Path, weights: Mapping[str, Tensor], *, model: Model[Never], tokenizer: TextTokenizer
) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into an existing directory.

    The weights keep their number format; with tied embeddings `lm_head.weight` is not among them.  Weights with a
    `score.weight` are those of a reward model, and the directory that of a sequence-classification model of one output,
    which says that an answer is scored with the end of sequence behind it.  Layers that predict further tokens are
    written if the weights hold them, as published checkpoints have them.
    """
    config = hf_config(model, architecture(model))
    name: str = hf_family(model.family).model.__name__
    if SCORE_HEAD in weights:
        name = name.replace("ForCausalLM", "ForSequenceClassification")
        config.num_labels = 1
        setattr(config, SCORED_AT, "eos")
    if holds_prediction(model, weights):
        config.num_nextn_predict_layers = model.num_mtp_layers
    config.architectures = [name]
    config.use_cache = True
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config.dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    config.save_pretrained(str(directory))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in as_stored(with_copies(weights, model))}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(directory)
