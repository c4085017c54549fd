"""The chunked output head against log_softmax over the whole vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from runtime.engines.train.chunked_logprobs import HeadSpec, TokenStats, token_stats

pytestmark = pytest.mark.torch

NUM_TOKENS, WIDTH, VOCAB = 7, 5, 11


def inputs(dtype: torch.dtype = torch.float64, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = scale * torch.randn(NUM_TOKENS, WIDTH, generator=generator, dtype=dtype)
    head = torch.randn(VOCAB, WIDTH, generator=generator, dtype=dtype)
    targets = torch.randint(0, VOCAB, (NUM_TOKENS,), generator=generator)
    return hidden.requires_grad_(), head.requires_grad_(), targets


def plain(hidden: Tensor, head: Tensor, targets: Tensor, temperature: float) -> TokenStats:
    table = (hidden @ head.t() / temperature).log_softmax(dim=-1)
    return TokenStats(table.gather(1, targets[:, None])[:, 0], -(table.exp() * table).sum(dim=-1))


def spec(chunk: int, temperature: float = 1.0, dtype: torch.dtype = torch.float64) -> HeadSpec:
    return HeadSpec(chunk=chunk, temperature=temperature, matmul_dtype=dtype)


@pytest.mark.parametrize("chunk", [1, 4, 10, 11, 64])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_values_and_gradients_equal_those_of_the_whole_table(chunk: int, temperature: float) -> None:
    results = []
    for use_chunks in (True, False):
        hidden, head, targets = inputs()
        stats = (
            token_stats(hidden, head, targets, spec=spec(chunk, temperature))
            if use_chunks
            else plain(hidden, head, targets, temperature)
        )
        weights = torch.arange(1.0, NUM_TOKENS + 1, dtype=torch.float64)
        (stats.logprobs_M * weights + stats.entropy_M * weights.flip(0)).sum().backward()
        results.append((stats.logprobs_M, stats.entropy_M, hidden.grad, head.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("which", [0, 1])
def test_each_output_alone_passes_gradcheck(which: int) -> None:
    hidden, head, targets = inputs()

    def function(hidden: Tensor, head: Tensor) -> Tensor:
        return token_stats(hidden, head, targets, spec=spec(4, 0.8))[which]

    assert torch.autograd.gradcheck(function, (hidden, head))


@pytest.mark.parametrize("scale", [1e3, 1e-6])
def test_extreme_logits_stay_finite(scale: float) -> None:
    hidden, head, targets = inputs(torch.float32, scale)
    stats = token_stats(hidden, head, targets, spec=spec(3, dtype=torch.float32))
    expected = plain(hidden, head, targets, 1.0)
    torch.testing.assert_close(stats.logprobs_M, expected.logprobs_M, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stats.entropy_M, expected.entropy_M.nan_to_num(), rtol=1e-3, atol=2e-3)
    (stats.logprobs_M + stats.entropy_M).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_no_tensor_of_the_whole_vocabulary_exists() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 8, generator=generator, requires_grad=True)
    head = torch.randn(1000, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 1000, (50,), generator=generator)
    sizes: list[int] = []

    class Watch(TorchFunctionMode):
        @override
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            sizes.extend([out.numel()] if isinstance(out, Tensor) else [])
            return out

    with Watch():
        stats = token_stats(hidden, head, targets, spec=spec(64, dtype=torch.float32))
        stats.logprobs_M.sum().backward()
    assert max(sizes) < 50 * 1000
    assert sizes.count(50 * 64) >= 2 * (1000 // 64)  # in the forward and in the backward pass


def test_bfloat16_products_stay_within_their_rounding() -> None:
    hidden, head, targets = inputs(torch.float32)
    stats = token_stats(hidden, head, targets, spec=spec(4, dtype=torch.bfloat16))
    expected = plain(hidden, head, targets, 1.0)
    assert stats.logprobs_M.dtype == torch.float32
    torch.testing.assert_close(stats.logprobs_M, expected.logprobs_M, atol=0.05, rtol=0)
    stats.logprobs_M.sum().backward()
    assert head.grad is not None
    assert head.grad.dtype == torch.float32
