"""Continuous batching: what the network is asked to compute, seen from the network."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, Never

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from compiler.ir.model import Model
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.cache import SequenceCache, Window
from runtime.engines.rollout.native.lanes import Lanes
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.scheduler import Scheduler
from runtime.engines.rollout.native.sequences import Call
from runtime.protocols import Completion, GenerationRequest
from tests.contract.rollout_engines import GREEDY, PLAIN, request, weights_of
from tests.support.tiny_model import VOCAB, tiny_model

pytestmark = pytest.mark.torch


class WatchedDecoder(Decoder):
    """The network, and a record of the shapes it was run on.

    prefills: prompts and positions.  extensions: the same of prompts of which a part was known.  decodes: rows and
    columns, of each lane one after the other.  positions_kept: of all prompts whose keys and values
    were in memory as each prefill began.
    """

    def __init__(self, model: Model[Never], *, num_positions: int) -> None:
        super().__init__(model, architecture(model), num_positions=num_positions)
        self.prefills: list[tuple[int, ...]] = []
        self.extensions: list[tuple[int, ...]] = []
        self.decodes: list[tuple[int, ...]] = []
        self.positions_kept: list[int] = []
        self._kept: list[weakref.ref[Tensor]] = []
        given = weights_of(model)
        for weight in self.weights():
            weight.load(given[weight.name])

    @override
    def prefill(self, token_BP: Tensor, last_B: Tensor) -> tuple[Tensor, Tensor]:
        kept = [kv for ref in self._kept if (kv := ref()) is not None]
        self.positions_kept.append(sum(kv.shape[1] * kv.shape[3] for kv in kept))
        self.prefills.append(tuple(token_BP.shape))
        found = super().prefill(token_BP, last_B)
        self._kept.append(weakref.ref(found[0]))
        return found

    @override
    def extend(self, kv_LBKPH: Tensor, token_BN: Tensor, start_B: Tensor, last_B: Tensor | None) -> Tensor:
        self.extensions.append(tuple(token_BN.shape))
        return super().extend(kv_LBKPH, token_BN, start_B, last_B)

    @override
    def decode(self, token_B: Tensor, windows: Sequence[Window]) -> Tensor:
        shapes = ((len(w.position_R), w.bias_K1W.shape[-1]) for w in windows)
        self.decodes.append(tuple(number for shape in shapes for number in shape))
        return super().decode(token_B, windows)


def scheduler_of(
    num_rows: int, *, num_positions: int = 64, cache_tokens: int | None = None, prefill_tokens: int = 4096
) -> tuple[Scheduler, WatchedDecoder]:
    model = tiny_model(num_layers=1)
    network = WatchedDecoder(model, num_positions=num_positions)

    def make_cache(num_rows: int, num_positions: int) -> SequenceCache:
        return SequenceCache(
            num_rows=num_rows,
            num_positions=num_positions,
            num_layers=model.num_layers,
            num_kv_heads=model.num_kv_heads,
            head_dim=model.head_dim,
        )

    granted = cache_tokens or num_rows * num_positions
    lanes = Lanes(make_cache, num_positions=num_positions, num_tokens=granted, num_rows=num_rows)
    return Scheduler(network, lanes, num_rows=num_rows, prefill_tokens=prefill_tokens), network


def drain(scheduler: Scheduler, call: Call, *, version: int = 1) -> list[Completion]:
    with torch.no_grad():
        while call.num_outstanding:
            assert call.fault is None
            scheduler.advance(version=version)
    return sorted(call.inbox, key=lambda c: (c.request, c.sample))


def served(scheduler: Scheduler, requests: Sequence[GenerationRequest]) -> list[Completion]:
    return drain(scheduler, submitted(scheduler, requests))


def submitted(scheduler: Scheduler, requests: Sequence[GenerationRequest]) -> Call:
    call = scheduler.open()
    scheduler.submit(call, requests)
    return call


def short_and_long(*most: int, **changes: Any) -> list[GenerationRequest]:
    return [request([3, i % VOCAB], max_new_tokens=n, **changes) for i, n in enumerate(most)]


@pytest.mark.parametrize("num_rows", [2, 7, 64])
def test_a_prompt_is_run_once_for_all_its_samples(num_rows: int) -> None:
    scheduler, network = scheduler_of(num_rows)
    assert len(served(scheduler, [request([3, 1, 2, 5], num_samples=7)])) == 7
    assert network.prefills == [(1, 4)]


def test_prompts_of_like_length_are_run_together() -> None:
    scheduler, network = scheduler_of(8)
    served(scheduler, [request([1] * n) for n in (10, 40, 12, 50, 11, 16)])
    assert sorted(network.prefills) == [(1, 16), (2, 50), (3, 12)]


def test_prompts_of_no_more_than_some_thousand_tokens_are_in_memory_at_once() -> None:
    scheduler, network = scheduler_of(6, num_positions=2048)
    served(scheduler, [request([n] * 1900, max_new_tokens=2) for n in range(6)])
    assert network.prefills == [(2, 1900)] * 3
    assert network.positions_kept == [0, 0, 0]


def test_a_prompt_whose_samples_wait_is_run_again_under_new_weights() -> None:
    scheduler, network = scheduler_of(2)
    call = submitted(scheduler, [request([3, 1, 2], num_samples=6, max_new_tokens=4)])
    with torch.no_grad():
        scheduler.advance(version=1)
    found = drain(scheduler, call, version=2)
    assert network.prefills == [(1, 3), (1, 3)]
    assert [c.versions for c in found] == [(1,) * 4] * 2 + [(2,) * 4] * 4


def test_those_that_stay_close_ranks_when_others_leave() -> None:
    scheduler, network = scheduler_of(8)
    served(scheduler, short_and_long(3, 20, 3, 3, 3, 20, 3, 3))
    # The first token comes from the prompt: 2 and 19 are decoded.
    assert [rows for rows, _ in network.decodes] == [8] * 2 + [2] * 17


def test_few_idle_rows_are_borne() -> None:
    scheduler, network = scheduler_of(32)
    served(scheduler, short_and_long(*[9] * 8, 3, 5, 7, *[9] * 21))
    # One and two idle rows of 32 are few; at three the others close ranks.
    assert [rows for rows, _ in network.decodes] == [32] * 6 + [29] * 2


def test_rows_at_the_end_leave_at_once() -> None:
    # The first row is sampled and the last one is not: settings are of the rows that are left.
    scheduler, network = scheduler_of(2)
    asked = [request([3], max_new_tokens=6), request([7], max_new_tokens=2, sampling=GREEDY)]
    found = served(scheduler, asked)
    assert [rows for rows, _ in network.decodes] == [2, 1, 1, 1, 1]
    assert [c.tokens for c in found] == [served(scheduler_of(1)[0], [r])[0].tokens for r in asked]


def test_those_that_wait_enter_as_others_leave() -> None:
    scheduler, network = scheduler_of(3)
    served(scheduler, short_and_long(2, 5, 5, 5, 2, 2))
    # 1 + 4 + 4 + 4 + 1 + 1 tokens to decode in 5 steps of 3 rows: none is idle.
    assert [rows for rows, _ in network.decodes] == [3] * 5


def test_attention_is_no_wider_than_the_longest_sequence_needs() -> None:
    scheduler, network = scheduler_of(4)
    served(scheduler, [request([5] * 10, max_new_tokens=40)])
    assert [columns for _, columns in network.decodes] == [24] * 8 + [32] * 8 + [40] * 8 + [48] * 8 + [56] * 7


def test_a_call_that_is_aborted_leaves_its_rows_to_others() -> None:
    scheduler, network = scheduler_of(4)
    given_up = submitted(scheduler, [request([3], num_samples=9, max_new_tokens=50)])
    with torch.no_grad():
        scheduler.advance(version=1)
    parts = scheduler.abort(given_up)
    assert [(c.sample, c.finish, len(c.tokens)) for c in parts] == [(i, "abort", 9) for i in range(4)]
    num_before = len(network.decodes)
    served(scheduler, short_and_long(5, 5, 5, 5))
    assert [rows for rows, _ in network.decodes[num_before:]] == [4] * 4
    assert not given_up.inbox


def test_rows_of_different_lengths_do_not_see_each_other() -> None:
    asked = [request([(7 * i) % VOCAB for i in range(n)], max_new_tokens=12, sampling=PLAIN) for n in (1, 48, 5, 30)]
    together = served(scheduler_of(4)[0], asked)
    for completion, one in zip(together, asked, strict=True):
        (alone,) = served(scheduler_of(1)[0], [one])
        assert completion.tokens == alone.tokens
        assert completion.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_a_row_forgets_what_it_held_before() -> None:
    scheduler, _ = scheduler_of(1)
    served(scheduler, [request([9] * 40, max_new_tokens=24)])
    asked = request([3, 1], max_new_tokens=30)
    assert served(scheduler, [asked])[0].tokens == served(scheduler_of(1)[0], [asked])[0].tokens
