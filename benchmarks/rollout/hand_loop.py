"""A decode loop written by hand for one model and one batch: how fast eager torch goes when nothing else is asked.

All sequences have prompts of one length and get the same number of tokens, so the cache is a block that fills from the
left, and there is nothing to admit, to stop or to name.  It reads the weights of a Hugging Face model once.

Shapes: B sequences, P positions of the prompts, N new tokens, T positions of the cache, D model, Q query heads, K
key-value heads, H head width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen3ForCausalLM


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    attention_norm_D: Tensor
    qkv: Tensor
    query_norm_H: Tensor
    key_norm_H: Tensor
    out: Tensor
    feed_forward_norm_D: Tensor
    gate_up: Tensor
    down: Tensor
    keys_BKTH: Tensor
    values_BKTH: Tensor


class HandLoop:
    """Holds the weights and a cache.

    Args:
        num_rows: sequences, in every call.
        num_positions: prompt and response together, at most.
    """

    def __init__(self, model: Qwen3ForCausalLM, *, num_rows: int, num_positions: int) -> None:
        config = model.config
        self._queries = config.num_attention_heads
        self._keys = config.num_key_value_heads or self._queries
        self._width, self._eps = config.head_dim, config.rms_norm_eps
        self._embed_VD = model.model.embed_tokens.weight.detach()
        self._head_VD = model.lm_head.weight.detach()
        self._norm_D = model.model.norm.weight.detach()
        weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
        cache = (num_rows, self._keys, num_positions, self._width)
        self._layers = [_layer(weights, i, cache) for i in range(config.num_hidden_layers)]
        with torch.no_grad():
            positions_1T = torch.arange(num_positions)[None]
            cos, sin = model.model.rotary_emb(self._embed_VD, positions_1T)
        self._cos_TH, self._sin_TH = cos[0], sin[0]

    @torch.inference_mode()
    def generate(self, prompt_BP: Tensor, *, num_new: int) -> tuple[Tensor, Tensor]:
        """Return sampled tokens [B, N] int64 and their natural log-probs [B, N] float32."""
        num_rows, start = prompt_BP.shape
        token_BN = torch.empty(num_rows, num_new, dtype=torch.int64)
        logprob_BN = torch.empty(num_rows, num_new)
        fed_BP, first = prompt_BP, 0
        for step in range(num_new):
            logprob_BV = F.log_softmax(self._logits(fed_BP, first), dim=-1)
            token_B1 = torch.multinomial(logprob_BV.exp(), 1)
            token_BN[:, step] = token_B1[:, 0]
            logprob_BN[:, step] = logprob_BV.gather(1, token_B1)[:, 0]
            fed_BP, first = token_B1, start + step
        return token_BN, logprob_BN

    def _logits(self, token_BP: Tensor, first: int) -> Tensor:
        """Feed tokens that stand at positions from `first` on, and return the logits [B, V] after the last."""
        x_BPD = F.embedding(token_BP, self._embed_VD)
        last = first + token_BP.shape[1]
        cos_P1H, sin_P1H = self._cos_TH[first:last, None], self._sin_TH[first:last, None]
        for layer in self._layers:
            heads = F.linear(self._normed(x_BPD, layer.attention_norm_D), layer.qkv).unflatten(-1, (-1, self._width))
            query, key, value = heads.split((self._queries, self._keys, self._keys), dim=2)
            query = _rotated(self._normed(query, layer.query_norm_H), cos_P1H, sin_P1H)
            key = _rotated(self._normed(key, layer.key_norm_H), cos_P1H, sin_P1H)
            layer.keys_BKTH[:, :, first:last] = key.transpose(1, 2)
            layer.values_BKTH[:, :, first:last] = value.transpose(1, 2)
            mixed = self._attended(query, layer, last)
            x_BPD = x_BPD + F.linear(mixed, layer.out)
            gate, up = F.linear(self._normed(x_BPD, layer.feed_forward_norm_D), layer.gate_up).chunk(2, dim=-1)
            x_BPD = x_BPD + F.linear(F.silu(gate) * up, layer.down)
        return F.linear(self._normed(x_BPD[:, -1], self._norm_D), self._head_VD)

    def _attended(self, query_BPQH: Tensor, layer: _Layer, last: int) -> Tensor:
        keys, values = layer.keys_BKTH[:, :, :last], layer.values_BKTH[:, :, :last]
        if query_BPQH.shape[1] > 1:
            mixed = F.scaled_dot_product_attention(
                query_BPQH.transpose(1, 2), keys, values, is_causal=True, enable_gqa=True
            )
            return mixed.transpose(1, 2).flatten(2)
        # The queries that share a key head are the rows of one small matrix: keys are not repeated for them.
        grouped = query_BPQH.view(-1, self._keys, self._queries // self._keys, self._width)
        score = (grouped @ keys.transpose(2, 3)) * self._width**-0.5
        return (score.softmax(-1) @ values).view(query_BPQH.shape[0], 1, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._eps)


def _layer(weights: dict[str, Tensor], idx: int, cache: tuple[int, ...]) -> _Layer:
    own = {name.removeprefix(f"model.layers.{idx}."): tensor for name, tensor in weights.items()}
    return _Layer(
        attention_norm_D=own["input_layernorm.weight"],
        qkv=torch.cat([own[f"self_attn.{name}_proj.weight"] for name in "qkv"]),
        query_norm_H=own["self_attn.q_norm.weight"],
        key_norm_H=own["self_attn.k_norm.weight"],
        out=own["self_attn.o_proj.weight"],
        feed_forward_norm_D=own["post_attention_layernorm.weight"],
        gate_up=torch.cat([own[f"mlp.{name}_proj.weight"] for name in ("gate", "up")]),
        down=own["mlp.down_proj.weight"],
        keys_BKTH=torch.zeros(cache),
        values_BKTH=torch.zeros(cache),
    )


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin
