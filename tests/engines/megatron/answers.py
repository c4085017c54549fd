"""Two trainers that say the same."""

from __future__ import annotations

import pytest
from torch import Tensor

from tests.engines.megatron.on_ranks import Answers


def assert_same(found: Answers, expected: Answers) -> None:
    """Hold that two trainers said the same, but for rounding."""
    _assert_close("logprobs", found.logprobs, expected.logprobs, atol=1e-5)
    for metrics, right in zip(found.metrics, expected.metrics, strict=True):
        assert metrics == pytest.approx(right, rel=1e-5, abs=1e-6)
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        _assert_close(name, found.weights[name], weight, atol=1e-6)
    assert found.state.keys() == expected.state.keys()
    for name, tensor in expected.state.items():
        _assert_close(name, found.state[name], tensor, atol=1e-6)


def _assert_close(name: str, found: Tensor, expected: Tensor, *, atol: float) -> None:
    assert found.shape == expected.shape, name
    if expected.numel():
        assert float((found - expected).abs().max()) <= atol, name
