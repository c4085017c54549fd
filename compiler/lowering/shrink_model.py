"""The model of `--shrink`: the same architecture with few and narrow layers, random weights and a token for each byte.

Kept are the family, every kind of layer (with and without experts, delta nets and full attention, layers that pick
tokens and layers that reuse what was picked), biases, norms, tied embeddings, rotary facts and positions, and as far as
it goes the ratios of query to key-value heads.
"""

from __future__ import annotations

from compiler.ir.openness import OFF
from compiler.ir.paths import leaves
from compiler.ir.record import Record
from compiler.lowering.shrink_ledger import Ledger

LAYERS = 2
HIDDEN = 64
FEED_FORWARD = 128
HEAD_DIM = 16
KV_HEADS = 2
MOST_HEADS = 8
BYTE_VOCABULARY = 258
LATENT_ROPE_DIM = 8
# The widths and counts of each table of [model] that change for themselves.
SIZES = {
    "moe": (
        ("num_experts", 4),
        ("experts_per_token", 2),
        ("expert_size", 32),
        ("shared_expert_size", 32),
        ("num_dense_layers", 1),
    ),
    "mla": (
        ("q_lora_rank", 32),
        ("kv_lora_rank", 16),
        ("qk_nope_dim", HEAD_DIM - LATENT_ROPE_DIM),
        ("qk_rope_dim", LATENT_ROPE_DIM),
        ("v_head_dim", HEAD_DIM),
    ),
    "linear_attention": (("full_attention_interval", LAYERS), ("key_head_dim", HEAD_DIM), ("value_head_dim", HEAD_DIM)),
    "indexer": (("num_heads", 2), ("head_dim", HEAD_DIM), ("tokens", 16), ("leading_layers", 1)),
}


def shrunk_model(ledger: Ledger, of: str = "model") -> None:
    """Add what to change about a model: that of the experiment, or a teacher at its path."""
    if ledger.value(f"{of}.hf") not in (OFF, None):
        _keep_facts(ledger, of)
        ledger.put(f"{of}.hf", OFF, "no checkpoint is read")
    ledger.put(f"{of}.weights", "random", "no checkpoint is read")
    for name in ("hf_id", "published_parameters", "published_active_parameters"):
        if ledger.value(f"{of}.{name}") not in (OFF, None):
            ledger.put(f"{of}.{name}", OFF, "it is said of the model in its own size")
    ledger.cap(f"{of}.num_layers", LAYERS)
    ledger.cap(f"{of}.num_mtp_layers", 1)
    _heads(ledger, of)
    ledger.cap(f"{of}.head_dim", HEAD_DIM)
    ledger.cap(f"{of}.intermediate_size", FEED_FORWARD)
    for table, sizes in SIZES.items():
        for name, most in sizes:
            ledger.cap(f"{of}.{table}.{name}", most)
    _latent_head(ledger, of)
    _groups(ledger, of)
    if ledger.value(f"{of}.tokenizer.kind") == "huggingface":
        ledger.put(f"{of}.tokenizer.kind", "bytes", "no tokenizer is read")
        ledger.put(f"{of}.vocab_size", BYTE_VOCABULARY, "256 bytes and 2 special tokens")


def _keep_facts(ledger: Ledger, of: str) -> None:
    """Without its directory, the facts that were read from it have to be said."""
    model = ledger.value(of)
    for name, value in leaves(model) if isinstance(model, Record) else ():
        path = f"{of}.{name}"
        origin = ledger.subject.origins.get(path)
        if isinstance(value, bool | int | float | str) and origin is not None and origin.kind == "recipe":
            ledger.keep(path)


def _heads(ledger: Ledger, of: str) -> None:
    """Few key-value heads, each with as many query heads as before; a width that the query heads divide."""
    heads = _few_heads(ledger, f"{of}.num_heads", f"{of}.num_kv_heads", "query heads for each key-value head")
    if heads is not None:
        width = -(-HIDDEN // heads) * heads
        if (ledger.number(f"{of}.hidden_size") or 0) > width:
            ledger.put(f"{of}.hidden_size", width, f"at most {HIDDEN}, rounded up to a multiple of the {heads} heads")
    linear = f"{of}.linear_attention"
    _few_heads(ledger, f"{linear}.num_value_heads", f"{linear}.num_key_heads", "value heads for each key head")


def _few_heads(ledger: Ledger, many: str, few: str, named: str) -> int | None:
    """Lower two numbers of heads and keep their ratio; return the larger one."""
    sharing, shared = ledger.number(many), ledger.number(few)
    if sharing is None or shared is None:
        return None
    ratio = sharing // shared
    least = min(shared, KV_HEADS if ratio * KV_HEADS <= MOST_HEADS else 1)
    ledger.put(few, least, f"at most {KV_HEADS}")
    ledger.put(many, least * ratio, f"{ratio} {named}, as before")
    return ledger.number(many) or sharing


def _latent_head(ledger: Ledger, of: str) -> None:
    """A head of latent attention is as wide as its two parts."""
    parts = ledger.number(f"{of}.mla.qk_nope_dim"), ledger.number(f"{of}.mla.qk_rope_dim")
    if parts[0] is not None and parts[1] is not None:
        ledger.put(f"{of}.head_dim", parts[0] + parts[1], "what turns with the position, and what does not")


def _groups(ledger: Ledger, of: str) -> None:
    """Two groups of experts where there were more than one, if they can be that; a token visits one of them."""
    experts, groups = ledger.number(f"{of}.moe.num_experts"), ledger.number(f"{of}.moe.num_groups")
    if experts is None or groups is None or groups == 1:
        return
    few = 2 if experts % 2 == 0 else 1
    ledger.put(f"{of}.moe.num_groups", few, "at most 2, of as many experts each")
    ledger.cap(f"{of}.moe.groups_per_token", 1)
    ledger.cap(f"{of}.moe.experts_per_token", experts // few)
