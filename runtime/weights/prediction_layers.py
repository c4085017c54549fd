"""Layers that predict further tokens, in files: published checkpoints repeat the embedding and the head beside each.

Both are those of the model, whatever the copies say: they are written for tools that read them there, and not read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Never

from torch import Tensor

from compiler.ir.experiment import Experiment, holds_further_layers
from compiler.ir.model import Model
from runtime.engines.train.hf_model import EMBEDDING, HEAD, holds_prediction

_COPY = re.compile(r"model\.layers\.\d+\.(embed_tokens|shared_head\.head)\.weight")


def are_held(experiment: Experiment[Never]) -> bool:
    """Whether the models of a run hold their layers that predict further tokens: some stage reads them."""
    return holds_further_layers(experiment)


def held_model(experiment: Experiment[Never]) -> Model[Never]:
    """Return the model with those layers if they are held, else without."""
    return experiment.model if are_held(experiment) else experiment.model.replacing(num_mtp_layers=0)


def with_copies(weights: Mapping[str, Tensor], model: Model[Never]) -> dict[str, Tensor]:
    """Return weights with the copies that files have, each with memory of its own."""
    return {**weights, **{copy: weights[of].clone() for copy, of in copied(weights, model).items()}}


def copied(names: Collection[str], model: Model[Never]) -> dict[str, str]:
    """Return the copies that files of a model of these weights have, and of what."""
    if not holds_prediction(model, names):
        return {}
    head = HEAD if HEAD in names else EMBEDDING
    copies: dict[str, str] = {}
    for at in range(model.num_layers, model.num_layers + model.num_mtp_layers):
        copies[f"model.layers.{at}.embed_tokens.weight"] = EMBEDDING
        copies[f"model.layers.{at}.shared_head.head.weight"] = head
    return copies


def without_copies(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what files hold without the copies."""
    return {name: tensor for name, tensor in stored.items() if not _COPY.fullmatch(name)}
