"""The experts that tokens visited, as SGLang writes them in `meta_info.routed_experts`.

Source: SGLang 0.5.23, `state_capturer/base.py` and `detokenizer_manager.py`: int32 numbers in base64, in the order of
[T, L, C], for all tokens from `routed_experts_start_len` on but the last of the sequence, which no pass goes over.  L
are all layers of the network; those without experts are there, and say nothing.

Shapes: T tokens, L layers, C experts that a token visits.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Never

import torch

from compiler.ir.model import Model
from runtime.engines.architecture import architecture
from stdlib.samples import ExpertIds


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutedLayers:
    """Where a network has experts: in all layers behind the first `num_dense_layers`."""

    num_layers: int
    num_dense_layers: int
    experts_per_token: int


def routed_layers(model: Model[Never]) -> RoutedLayers | None:
    """Return where a model has experts, or None if it has none."""
    experts = architecture(model).experts
    if experts is None:
        return None
    return RoutedLayers(
        num_layers=model.num_layers,
        num_dense_layers=experts.num_dense_layers,
        experts_per_token=experts.experts_per_token,
    )


def written(ids: ExpertIds, layers: RoutedLayers, *, start: int) -> str:
    """Return the experts of the tokens from `start` on."""
    ids_TLC = ids.ids_TLC[start:]
    shape = (ids_TLC.shape[0], layers.num_layers, layers.experts_per_token)
    whole_TLC = torch.zeros(shape, dtype=torch.int32)
    whole_TLC[:, layers.num_dense_layers :] = ids_TLC
    return base64.b64encode(whole_TLC.numpy().tobytes()).decode("ascii")


def read(text: str, layers: RoutedLayers, *, num_tokens: int) -> ExpertIds:
    """Return the experts of so many tokens.  Raises: ValueError if the text is not that of so many."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise ValueError(f"experts are no base64: {fault}") from fault
    shape = (num_tokens, layers.num_layers, layers.experts_per_token)
    if len(content) != 4 * shape[0] * shape[1] * shape[2]:
        raise ValueError(f"{len(content)} bytes of experts for {list(shape)} numbers of four bytes")
    if not content:
        return ExpertIds(torch.zeros(shape, dtype=torch.int16)[:, layers.num_dense_layers :])
    whole_TLC = torch.frombuffer(bytearray(content), dtype=torch.int32).view(shape)
    return ExpertIds(whole_TLC[:, layers.num_dense_layers :].to(torch.int16))
