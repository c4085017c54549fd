"""Which layers of a checkpoint are of which kind: lists and schedules of its config.json as two numbers.

A pattern that two numbers cannot say is None: the fact is then missing, and the key that holds the pattern is named.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.lowering.checkpoint_said import Fact, Said, count

_MOST_LAYERS = 10_000
_DENSE_BY_DEFAULT = {"deepseek_v3": 3, "glm4_moe": 1, "glm_moe_dsa": 3, "kimi_k2": 3}


def dense_layers(said: Said, family: str) -> Fact:
    """Return how many leading layers have no experts."""
    kinds = said.texts("mlp_layer_types")
    if kinds is not None:
        count = _leading(kinds, "dense")
        return Fact(count if all(kind == "sparse" for kind in kinds[count:]) else None, "mlp_layer_types")
    if family == "glm4_moe_lite":
        return said.fact("first_k_dense_replace", 1)
    if family in _DENSE_BY_DEFAULT:
        return said.fact("first_k_dense_replace", _DENSE_BY_DEFAULT[family])
    only = said.texts("mlp_only_layers") or []
    return Fact(len(only) if sorted(map(str, only)) == sorted(map(str, range(len(only)))) else None, "mlp_only_layers")


def full_attention_interval(said: Said) -> Fact:
    """Return every how many layers one has full attention."""
    kinds = said.texts("layer_types")
    if kinds is None:
        return said.fact("full_attention_interval", 4)
    every = _leading(kinds, "linear_attention") + 1
    wanted = ["full_attention" if (at + 1) % every == 0 else "linear_attention" for at in range(len(kinds))]
    return Fact(every if kinds == wanted and every > 1 else None, "layer_types")


def indexed_layers(said: Said) -> dict[str, Fact]:
    """Return how many leading layers pick tokens for themselves, and every how many of the others do."""
    key, picks = _picks(said)
    leading = len(picks) if picks is not None and all(picks) else _leading(picks or (), True)
    if picks is None or not leading:
        return {"indexer.leading_layers": Fact(None, key), "indexer.pick_interval": Fact(None, key)}
    interval = 1 if all(picks) else _leading(picks[leading:], False) + 1
    # A pattern that picks again after a break begins its count with the last of the leading layers.
    wanted = [at < leading or (at - leading + 1) % interval == 0 for at in range(len(picks))]
    if picks != wanted:
        return {"indexer.leading_layers": Fact(None, key), "indexer.pick_interval": Fact(None, key)}
    return {
        "indexer.leading_layers": Fact(1 if all(picks) else leading, key),
        "indexer.pick_interval": Fact(interval, key),
    }


def _picks(said: Said) -> tuple[str, list[bool] | None]:
    """The key that says which layers have an indexer, and one truth for each layer."""
    kinds = said.texts("indexer_types")
    if kinds is not None:
        return "indexer_types", [kind == "full" for kind in kinds]
    pattern = said.get("index_topk_pattern")
    if isinstance(pattern, (str, list)):
        return "index_topk_pattern", [kind in ("F", "full") for kind in pattern]
    layers, every = count(said.get("num_hidden_layers")), count(said.get("index_topk_freq", 1))
    skipped = said.get("index_skip_topk_offset", 2)
    key = "index_topk_freq" if "index_topk_freq" in said else "index_topk"
    if layers is None or layers > _MOST_LAYERS or every is None or type(skipped) is not int:
        return key, None
    return key, [max(at - skipped + 1, 0) % every == 0 for at in range(layers)]


def _leading(kinds: Sequence[object], kind: object) -> int:
    return next((at for at, found in enumerate(kinds) if found != kind), len(kinds))
