"""What each layer of a model is, one after the other: an independent form of what the planner counts at once."""

from __future__ import annotations

from compiler.ir.model import Model, SparseIndexer
from compiler.ir.openness import Off


def is_full_attention(model: Model[object], layer: int) -> bool:
    """Whether a layer, counted from 0, keeps keys and values of every token."""
    linear = model.linear_attention
    return isinstance(linear, Off) or (layer + 1) % linear.full_attention_interval == 0


def picks_tokens(indexer: SparseIndexer, layer: int) -> bool:
    """Whether a layer, counted from 0, has an indexer of its own, if it has full attention."""
    behind = layer - indexer.leading_layers + 1
    return behind <= 0 or behind % indexer.pick_interval == 0
