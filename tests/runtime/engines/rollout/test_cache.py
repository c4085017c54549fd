"""The memory of sequences: what is written is found again, wherever it moves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from runtime.engines.rollout.native.cache import SequenceCache

pytestmark = pytest.mark.torch


def cache_of(*, num_rows: int = 4, num_positions: int = 20) -> SequenceCache:
    return SequenceCache(num_rows=num_rows, num_positions=num_positions, num_layers=2, num_kv_heads=2, head_dim=4)


def draws(*rows: int) -> Tensor:
    """Return draws 0.00, 0.01, ... of row 0, 0.10, 0.11, ... of row 1, and so on."""
    return torch.tensor([[0.1 * row + 0.01 * i for i in range(9)] for row in rows], dtype=torch.float64)


def put(cache: SequenceCache, *tokens: int) -> None:
    cache.put(torch.tensor(tokens), -0.5 * torch.tensor(tokens))


def test_a_response_is_read_from_where_it_was_put() -> None:
    cache = cache_of()
    cache.enter([0, 1], prompt_lengths=[3, 5], draws_MN=draws(0, 1))
    cache.put_in([1, 0], torch.tensor([21, 11]), torch.tensor([-2.0, -1.0]))
    cache.advance(2)
    put(cache, 12, 22)
    assert cache.tokens(2).tolist() == [12, 22]
    assert cache.response(0, start=3, stop=5) == ((11, 12), (-1.0, -6.0))
    assert cache.response(1, start=5, stop=7) == ((21, 22), (-2.0, -11.0))


def test_draws_follow_the_response() -> None:
    cache = cache_of()
    cache.enter([0, 1], prompt_lengths=[3, 5], draws_MN=draws(0, 1))
    assert cache.draws(2).tolist() == pytest.approx([0.00, 0.10])
    cache.advance(2)
    cache.advance(2)
    assert cache.draws(2).tolist() == pytest.approx([0.02, 0.12])


def test_a_parked_row_stays_where_it_is() -> None:
    cache = cache_of()
    cache.enter([0, 1], prompt_lengths=[3, 5], draws_MN=draws(0, 1))
    cache.park([0])
    cache.advance(2)
    assert cache.live(2).tolist() == [0, 1]
    assert cache.window(2, num_positions=9).position_R.tolist() == [3, 6]


def test_a_row_that_moves_takes_all_along() -> None:
    cache = cache_of()
    cache.enter([0, 1, 2, 3], prompt_lengths=[3, 2, 4, 5], draws_MN=draws(0, 1, 2, 3))
    kv_LGKPH = torch.randn(4, 4, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    cache.fill_prompts([0, 1, 2, 3], kv_LGKPH, prompt_of_row=[0, 1, 2, 3])
    put(cache, 10, 20, 30, 40)
    cache.advance(4)
    put(cache, 11, 21, 31, 41)
    cache.park([0, 1])
    cache.move([3, 2], [0, 1], num_positions=6)
    assert cache.tokens(2).tolist() == [41, 31]
    assert cache.draws(2).tolist() == pytest.approx([0.31, 0.21])
    assert cache.live(2).tolist() == [1, 1]
    assert cache.response(0, start=5, stop=7) == ((40, 41), (-20.0, -20.5))
    window = cache.window(2, num_positions=6)
    assert window.position_R.tolist() == [6, 5]
    assert (window.bias_K1W[:, 0] == 0).sum(-1).tolist() == [5, 5, 4, 4]
    for layer, part in enumerate(window.layers):
        keys_RKWH = part.keys_KHW.transpose(1, 2).unflatten(0, (2, 2))
        values_RKWH = part.values_KWH.unflatten(0, (2, 2))
        for row, source in enumerate((3, 2)):
            assert keys_RKWH[row, :, :6].equal(kv_LGKPH[2 * layer, source])
            assert values_RKWH[row, :, :6].equal(kv_LGKPH[2 * layer + 1, source])


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 2, 3], [0, 2, 3], [3, 1, 2], [2, 0, 1]], ids=str)
def test_prompts_are_copied_into_the_rows_that_continue_them(rows: list[int]) -> None:
    cache = cache_of()
    kv_LGKPH = torch.randn(4, 2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    cache.fill_prompts(rows, kv_LGKPH, prompt_of_row=[1, 0, 1])
    parts = cache.window(4, num_positions=3).layers
    for row in range(4):
        for layer, part in enumerate(parts):
            key_KPH = part.keys_KHW.transpose(1, 2).unflatten(0, (4, 2))[row, :, :3]
            if row in rows:
                assert key_KPH.equal(kv_LGKPH[2 * layer, [1, 0, 1][rows.index(row)]])
            else:
                assert not key_KPH.any()


def test_a_row_sees_its_prompt_and_nothing_of_who_was_there_before() -> None:
    cache = cache_of()
    cache.enter([0], prompt_lengths=[9], draws_MN=draws(0))
    cache.enter([0], prompt_lengths=[2], draws_MN=draws(1))
    bias_W = cache.window(1, num_positions=12).bias_K1W[0, 0]
    assert bias_W.tolist() == [0.0, 0.0] + [-torch.inf] * 14


def test_windows_view_the_positions_asked_for_rounded_up() -> None:
    cache = cache_of(num_positions=37)
    widths = [cache.window(1, num_positions=n).bias_K1W.shape[-1] for n in (1, 16, 17, 24, 25, 37)]
    assert widths == [16, 16, 24, 24, 32, 40]


def test_what_is_cleared_is_zero() -> None:
    cache = cache_of()
    cache.fill_prompts([0], torch.full((4, 1, 2, 3, 4), torch.nan), prompt_of_row=[0])
    cache.clear()
    for part in cache.window(4, num_positions=20).layers:
        assert part.keys_KHW.eq(0).all()
        assert part.values_KWH.eq(0).all()
