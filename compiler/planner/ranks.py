"""Bytes that one GPU holds for as long as a phase lasts, counted from below: what does not fit here fits nowhere.

Training: weights, gradients, optimizer state.  Generation: weights, and keys and values of one sequence.  Each part is
taken as if it were spread evenly, and in the smallest format that the engine has; activations, buffers of communication
and what an allocator loses come on top.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.options import settings_given
from compiler.planner.memory.kv_cache import FP32_BYTES, kv_bytes_per_token
from compiler.planner.parameters import count_parameters

BF16_BYTES = 2
GIB = 1 << 30


class Spread(NamedTuple):
    """The sizes of the axes that training is spread over."""

    tp: int
    pp: int
    cp: int
    ep: int
    etp: int
    dp: int


class RankBytes(NamedTuple):
    """What one training GPU holds between two steps, and during one."""

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer


def rank_bytes(model: Model[object], spread: Spread, *, is_bf16: bool, moments: int, is_sharded: bool) -> RankBytes:
    """Return the static bytes of an average training GPU, of which the fullest has at least as many.

    Args:
        moments: numbers that the optimizer keeps of each parameter, beside a master copy.
        is_sharded: whether copies of the model share weights and gradients too, and not only the optimizer state.
    """
    routed = routed_parameters(model)
    dense, experts = count_parameters(model) - routed, routed
    in_a_stage = spread.dp * spread.cp * spread.tp
    dense_copies = spread.dp * spread.cp
    expert_copies = max(1, in_a_stage // (spread.ep * spread.etp))
    dense_here, experts_here = dense // (spread.tp * spread.pp), experts // (spread.ep * spread.etp * spread.pp)
    shared = dense_here // dense_copies + experts_here // expert_copies
    held = shared if is_sharded else dense_here + experts_here
    number = BF16_BYTES if is_bf16 and not is_sharded else FP32_BYTES
    master = FP32_BYTES if number == BF16_BYTES else 0
    return RankBytes(held * number, held * number, shared * (master + moments * FP32_BYTES))


def routed_parameters(model: Model[object]) -> int:
    """Return the parameters of routed experts, which are spread by axes of their own."""
    moe = model.moe
    if isinstance(moe, Off):
        return 0
    layers = model.num_layers - min(moe.num_dense_layers, model.num_layers)
    return layers * moe.num_experts * 3 * model.hidden_size * moe.expert_size


class EngineFormats(NamedTuple):
    """Bytes of a number of an engine's matrices, and of one that it caches."""

    weight: float = BF16_BYTES
    cache: float = BF16_BYTES


def engine_formats(engine: Any) -> EngineFormats:
    """Return the formats that a spec gives a rollout engine by its own names; tables of tokens are never quantised."""
    given = settings_given(engine)
    quantised, cached = (_text(given.get(key)) for key in ("quantization", "kv_cache_dtype"))
    return EngineFormats(_quantised_bytes(quantised), 1 if "8" in cached else 0.5 if "fp4" in cached else BF16_BYTES)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _quantised_bytes(name: str) -> float:
    """Bytes of a number, by the name of a format; no more than it takes where that is not known."""
    if name in ("", "unquant"):
        return BF16_BYTES
    is_of_eight = "8" in name and "4" not in name
    return 1 if is_of_eight else 0.5


def engine_weight_bytes(model: Model[object], gpus: int, formats: EngineFormats) -> int:
    """Return the bytes of the weights on one GPU of a rollout engine."""
    tables = model.vocab_size * model.hidden_size * (1 if model.tie_embeddings else 2)
    return int((count_parameters(model) - tables) * formats.weight + tables * BF16_BYTES) // gpus


def engine_sequence_bytes(model: Model[object], gpus: int, tokens: int, formats: EngineFormats) -> int:
    """Return the bytes of one sequence's keys and values on one GPU of an engine.

    A head lies on one GPU, so there is no more to divide than there are heads; a latent vector is on all of them.
    """
    ways = min(gpus, model.num_kv_heads) if isinstance(model.mla, Off) else 1
    return int(tokens * kv_bytes_per_token(model, 1) * formats.cache) // ways


def logit_bytes(model: Model[object], spread: Spread, *, tokens: int, columns: int) -> int:
    """Return the bytes of the logits that exist at once: fp32, one copy, of a slice of the vocabulary."""
    shard = -(-model.vocab_size // spread.tp)
    return tokens // spread.cp * min(columns, shard) * FP32_BYTES
