"""Packed attention against Hugging Face's own, and what transformers does with it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Never

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compiler.ir.model import LatentAttention
from runtime.engines.train import packed_attention
from runtime.engines.train.hf_model import build_model
from runtime.engines.train.packed_attention import Heads, attention_layout, bucket_by_length
from runtime.engines.train.packed_batch import PackedBatch, pack, predictable
from runtime.packing.prefixes import shared_prefixes
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import batch_of, hf_model, plain_logprobs, tiny_families, tiny_weights
from tests.support.tiny_model import VOCAB, tiny_model

if TYPE_CHECKING:
    from compiler.ir.model import Model
    from runtime.engines.train.hf_families import CausalModel

pytestmark = pytest.mark.torch

HEADS = Heads(4, 2)


def packed_logprobs(model: CausalModel, batch: TrainBatch, heads: Heads = HEADS) -> Tensor:
    wanted = predictable(torch.ones_like(batch.mask_T), batch.lengths_N)
    packed = pack(batch, range(len(batch.lengths_N)), wanted, heads=heads)
    assert packed is not None
    states = hidden_states(model, packed)[packed.sources_M]
    table = (states @ model.lm_head.weight.t()).log_softmax(dim=-1)
    found = torch.zeros_like(batch.mask_T)
    return found.index_put((packed.tokens_M,), table.gather(1, packed.targets_M[:, None])[:, 0])


def hidden_states(model: CausalModel, packed: PackedBatch) -> Tensor:
    output = model.model(
        input_ids=packed.tokens_1U, position_ids=packed.positions_1U, use_cache=False, layout=packed.layout
    )
    return output.last_hidden_state[0]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=7), st.integers(0, 99))
def test_values_and_gradients_equal_unpacked_passes(shape: list[tuple[int, int]], seed: int) -> None:
    draw = random.Random(seed)
    prompts = [[draw.randrange(VOCAB) for _ in range(5)] for _ in range(2)] + [[], [1]]
    sequences = [prompts[which] + [draw.randrange(VOCAB) for _ in range(n)] for which, n in shape]
    batch = batch_of([*sequences, [3, 4]], [0] * (len(sequences) + 1))
    model, plain = build_model(tiny_model(), tiny_weights(tiny_model())), hf_model(tiny_model())
    weight = torch.randn(batch.mask_T.shape, generator=torch.Generator().manual_seed(seed)) / batch.mask_T.numel()
    found, expected = packed_logprobs(model, batch), plain_logprobs(plain, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("model", tiny_families().values(), ids=tiny_families().keys())
def test_every_family_is_packed_without_changing_values_or_gradients(model: Model[Never]) -> None:
    sequences = [[3, 1, 2, *range(n)] for n in (1, 20, 7)] + [[5]] + [[(5 * i) % VOCAB for i in range(33)]]
    batch = batch_of(sequences, [0] * len(sequences))
    packed, plain = build_model(model, tiny_weights(model)), hf_model(model)
    heads = Heads(model.num_heads, model.num_kv_heads)
    found, expected = packed_logprobs(packed, batch, heads), plain_logprobs(plain, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.mean().backward()
    expected.mean().backward()
    for (name, p), q in zip(packed.named_parameters(), plain.parameters(), strict=True):
        assert q.grad is not None
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_long_rows_take_the_fused_kernel_and_agree() -> None:
    draw = random.Random(0)
    prompt = [draw.randrange(VOCAB) for _ in range(packed_attention.MAX_PLAIN_TOKENS)]
    sequences = [prompt + [draw.randrange(VOCAB) for _ in range(n)] for n in (30, 21)] + [prompt[:40], prompt[:7]]
    batch = batch_of(sequences, [0] * 4)
    layout = attention_layout(shared_prefixes(sequences), HEADS)
    assert [bucket.mask_QL is None for bucket in layout.buckets] == [True, False, False]
    model, plain = build_model(tiny_model(), tiny_weights(tiny_model())), hf_model(tiny_model())
    found, expected = packed_logprobs(model, batch), plain_logprobs(plain, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.mean().backward()
    expected.mean().backward()
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("value_dim", [10, 20, 30])
def test_long_rows_of_latent_attention_agree_whatever_is_wider(value_dim: int) -> None:
    latent = LatentAttention(q_lora_rank=24, kv_lora_rank=18, qk_nope_dim=12, qk_rope_dim=8, v_head_dim=value_dim)
    facts = tiny_families()["deepseek_v3"].replacing(mla=latent)
    batch = batch_of([[(7 * i + i * i) % VOCAB for i in range(packed_attention.MAX_PLAIN_TOKENS + 20)], [3, 4]], [0, 0])
    model, plain = build_model(facts, tiny_weights(facts)), hf_model(facts)
    found, expected = packed_logprobs(model, batch, Heads(4, 4)), plain_logprobs(plain, batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.mean().backward()
    expected.mean().backward()
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-5, rtol=1e-3)


def test_no_mask_over_all_tokens_is_built() -> None:
    batch = batch_of([[1, 2, 3], [4, 5]] * 40, [1] * 80)
    packed = pack(batch, range(80), predictable(batch.mask_T, batch.lengths_N), heads=HEADS)
    assert packed is not None
    model = build_model(tiny_model(), tiny_weights(tiny_model()))
    masks: list[object] = []

    def record(_module: object, _args: object, kwargs: dict[str, Any]) -> None:
        masks.append(kwargs["attention_mask"])

    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(record, with_kwargs=True)
    hidden_states(model, packed)
    assert masks == [None, None]


def test_a_sequence_does_not_see_its_neighbours() -> None:
    model = build_model(tiny_model(), tiny_weights(tiny_model()))
    alone = packed_logprobs(model, batch_of([[5, 6, 7, 8]], [1]))
    among = packed_logprobs(model, batch_of([[1, 2, 3], [5, 6, 7, 8], [9] * 20], [1] * 3))
    torch.testing.assert_close(among[3:7], alone, atol=1e-6, rtol=0)


def test_tokens_after_the_last_wanted_one_are_left_out() -> None:
    batch = batch_of([[1, 2, 3, 4, 5, 6], [7, 8, 9]], [1, 1])
    batch.mask_T[3:6] = 0.0
    packed = pack(batch, (0, 1), predictable(batch.mask_T, batch.lengths_N), heads=HEADS)
    assert packed is not None
    assert packed.tokens_1U.tolist() == [[1, 2, 7, 8]]
    assert packed.positions_1U.tolist() == [[0, 1, 0, 1]]
    assert packed.targets_M.tolist() == [2, 3, 8, 9]


@given(st.lists(st.integers(0, 2000), max_size=50))
def test_buckets_cover_all_sequences_with_bounded_padding(lengths: list[int]) -> None:
    buckets = bucket_by_length(lengths)
    assert sorted(i for b in buckets for i in b) == [i for i, n in enumerate(lengths) if n > 0]
    for bucket in buckets:
        longest = max(lengths[i] for i in bucket)
        assert lengths[bucket[0]] == longest
        assert all(longest - lengths[i] <= max(16, longest // 4) for i in bucket)
