"""FLOPs of a forward pass over one sequence, counted from the facts of a model.

A multiplication and an addition are two.  Every weight that a token passes through is used once, the embedding being
looked up; scores and weighted values of attention grow with the tokens before, which are half the pairs of a sequence.
Layers with linear attention have no pairs.  An indexer scores all pairs, and attention then sees a fixed number of
them, which is left out here: sequences are compared with one another, where it counts like other work of a token.
Norms and activations are not counted.
"""

from __future__ import annotations

from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.training import SequenceFlops
from compiler.planner.parameters import full_attention_layers, parameters_of, picking_layers


def sequence_flops(model: Model[object]) -> SequenceFlops:
    """Return what n tokens of one sequence cost: n x per_token + n x n x per_pair."""
    looked_up = 0 if model.tie_embeddings else model.vocab_size * model.hidden_size
    layers, indexer, mla = full_attention_layers(model), model.indexer, model.mla
    if not isinstance(indexer, Off):
        pairs = picking_layers(model, indexer) * indexer.num_heads * indexer.head_dim
    elif isinstance(mla, Off):
        pairs = layers * model.num_heads * 2 * model.head_dim
    else:
        pairs = layers * model.num_heads * (mla.qk_nope_dim + mla.qk_rope_dim + mla.v_head_dim)
    return SequenceFlops(per_token=2 * (parameters_of(model).active - looked_up), per_pair=pairs)
