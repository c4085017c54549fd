"""The model of `--shrink`: the same architecture with few and narrow layers, random weights and a token for each byte.

Kept are the family, every kind of layer, biases, norms, tied embeddings, rotary facts and positions, and as far as it
goes the ratio of query to key-value heads.
"""

from __future__ import annotations

from compiler.ir.openness import OFF
from compiler.ir.paths import leaves
from compiler.lowering.shrink_ledger import Ledger

LAYERS = 2
HIDDEN = 64
FEED_FORWARD = 128
HEAD_DIM = 16
KV_HEADS = 2
MOST_HEADS = 8
BYTE_VOCABULARY = 258
EXPERTS = (
    ("num_experts", 4),
    ("experts_per_token", 2),
    ("expert_size", 32),
    ("shared_expert_size", 32),
    ("num_dense_layers", 1),
    ("num_groups", 1),
    ("groups_per_token", 1),
)


def shrunk_model(ledger: Ledger) -> None:
    """Add what to change about the model."""
    if ledger.value("model.hf") not in (OFF, None):
        _keep_facts(ledger)
        ledger.put("model.hf", OFF, "no checkpoint is read")
    ledger.put("model.weights", "random", "no checkpoint is read")
    ledger.cap("model.num_layers", LAYERS)
    _heads(ledger)
    ledger.cap("model.head_dim", HEAD_DIM)
    ledger.cap("model.intermediate_size", FEED_FORWARD)
    for path, most in EXPERTS:
        ledger.cap(f"model.moe.{path}", most)
    if ledger.value("model.tokenizer.kind") == "huggingface":
        ledger.put("model.tokenizer.kind", "bytes", "no tokenizer is read")
        ledger.put("model.vocab_size", BYTE_VOCABULARY, "256 bytes and 2 special tokens")


def _keep_facts(ledger: Ledger) -> None:
    """Without its directory, the facts that were read from it have to be said."""
    for name, value in leaves(ledger.subject.experiment.model):
        path = f"model.{name}"
        origin = ledger.subject.origins.get(path)
        if isinstance(value, bool | int | float | str) and origin is not None and origin.kind == "recipe":
            ledger.keep(path)


def _heads(ledger: Ledger) -> None:
    """Few key-value heads, each with as many query heads as before; a width that the query heads divide."""
    queries, keys = ledger.number("model.num_heads"), ledger.number("model.num_kv_heads")
    if queries is None or keys is None:
        return
    ratio = queries // keys
    few = min(keys, KV_HEADS if ratio * KV_HEADS <= MOST_HEADS else 1)
    why = f"{ratio} query heads for each key-value head, as before"
    ledger.put("model.num_kv_heads", few, f"at most {KV_HEADS}")
    ledger.put("model.num_heads", few * ratio, why)
    heads = ledger.number("model.num_heads") or queries
    width = -(-HIDDEN // heads) * heads
    if (ledger.number("model.hidden_size") or 0) > width:
        ledger.put("model.hidden_size", width, f"at most {HIDDEN}, rounded up to a multiple of the {heads} heads")
