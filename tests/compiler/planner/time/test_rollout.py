"""Decoding against closed forms: one sequence reads the weights, a batch drains, a queue runs at its slots."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.ir.model import Moe
from compiler.planner.memory.network import Network
from compiler.planner.time.constants import RATES
from compiler.planner.time.lengths import Class, Lengths, classes_of, variation_of
from compiler.planner.time.rollout import (
    DecodeCosts,
    Sampler,
    cached_bytes,
    decode_costs,
    drained_seconds,
    drawn_tokens,
    sampler_bytes,
    slots_of,
    steady_seconds,
)
from compiler.planner.time.step import Sampling, sampling_seconds
from compiler.planner.time.work import network_work
from rlc.catalogue import scan

H100 = scan().load_hardware()["H100-80-SXM"]
DENSE = Network(num_layers=10, hidden=4096, ffn=16384, heads=32, kv_heads=8, head_dim=128, vocab=32000)
# Only reading takes time.
READS = RATES._replace(memory_frac=1.0, decode_layer_us=0.0, hop_us=0.0, sequence_us=0.0, product_frac=1e9)
NOTHING = DecodeCosts(fixed=0, read=0, read_experts=0, visited=0, product=0, expert=0, cached=0, scored=0, sequence=0)


def sampler(network: Network = DENSE, **changes: Any) -> Sampler:
    made = Sampler(network, network_work(network), H100, gpus=1, capacity_tokens=1e6, concurrency=256)
    return made._replace(**changes)


def test_one_sequence_takes_as_long_as_the_weights_take_to_read() -> None:
    """Per layer: queries and outputs, keys and values, three matrices of the feed-forward, two norms; and the head."""
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 16384 + 2 * 4096
    weights = 2 * (10 * layer + 4096 * 32000)
    assert decode_costs(sampler(), READS).seconds(1, 0) == pytest.approx(weights / 3.35e12, rel=1e-3)


def test_every_cached_token_is_read_in_every_step() -> None:
    """Two of 8 heads x 128 numbers, of two bytes, in each of ten layers."""
    costs = decode_costs(sampler(), READS)
    more = costs.seconds(1, 1000) - costs.seconds(1, 0)
    assert more == pytest.approx(1000 * 2 * 8 * 128 * 2 * 10 / 3.35e12)


def test_experts_are_read_as_far_as_they_are_visited() -> None:
    """With 2 of 8 for each sequence, three sequences leave (3/4)^3 of the experts unread.

    Of n blocks of 64 numbers a kernel's loop takes n + 2 turns: 64 + 2 for two of three products, 128 + 2 for the last.
    """
    moe = Moe(num_experts=8, experts_per_token=2, expert_size=8192)
    costs = decode_costs(sampler(DENSE._replace(moe=moe)), READS)
    turns = (2 * 66 / 64 + 130 / 128) / 3
    all_of_them = 10 * 8 * 3 * 4096 * 8192 * 2 / 3.35e12 * turns
    assert costs.seconds(3, 0) - costs.read == pytest.approx(all_of_them * (1 - 0.75**3), rel=1e-6)


def test_experts_that_are_split_over_many_gpus_are_read_at_a_lower_rate() -> None:
    """Thirty-two GPUs have 64 numbers of a width of 2,048 each: one block, and so three turns in place of one."""
    moe = Moe(num_experts=8, experts_per_token=2, expert_size=2048)
    one, split = (decode_costs(sampler(DENSE._replace(moe=moe), gpus=gpus), READS) for gpus in (1, 32))
    assert split.read_experts * 32 / one.read_experts == pytest.approx((2 * 66 / 64 + 3) / (2 * 66 / 64 + 34 / 32))


def test_drafts_are_verified_together_and_each_costs_a_layer_and_the_head() -> None:
    """Two drafts for ten layers: two passes over one layer more, and over the head three; three tokens are verified."""
    plain, drafted = (decode_costs(sampler(drafts=drafts), READS) for drafts in (0, 2))
    head = 4096 * 32000 * 2 / 3.35e12
    layers = plain.read - head
    assert drafted.read == pytest.approx(layers * 12 / 10 + 3 * head)
    assert drafted.cached == pytest.approx(plain.cached * 12 / 10)
    of_layers = 10 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 16384)
    of_head = 4096 * 32000
    more = (3.2 * of_layers + 5 * of_head) / (of_layers + of_head)
    assert drafted.product == pytest.approx(plain.product * more)
    assert drawn_tokens(2, 0.5) == 1 + 0.5 + 0.25


def test_a_drained_batch_by_hand() -> None:
    """Three sequences of 10 tokens and one of 30, 2 s a step and 1 s a sequence: 10 x 6 + 20 x 3."""
    costs = NOTHING._replace(fixed=2.0, sequence=1.0)
    classes = (Class(0.75, 10.0), Class(0.25, 30.0))
    assert drained_seconds(costs, classes, 4, 0, slots=4) == pytest.approx(10 * 6 + 20 * 3)


def test_the_cache_grows_while_a_batch_drains() -> None:
    """One second a cached token: a prompt of 5 and ages of 0 to 10 take 10 x 5 + 10^2 / 2."""
    costs = NOTHING._replace(cached=1.0)
    assert drained_seconds(costs, (Class(1.0, 10.0),), 1, 5, slots=1) == pytest.approx(10 * 5 + 50)


@pytest.mark.parametrize("slots", [1.0, 2.0, 3.0, 24.0, 100.0])
def test_what_each_token_costs_alone_does_not_depend_on_the_slots(slots: float) -> None:
    costs = NOTHING._replace(sequence=1.0)
    classes = tuple(Class(1 / 24, 10.0 * (1 + at)) for at in range(24))
    tokens = 24 * sum(one.share * one.tokens for one in classes)
    assert drained_seconds(costs, classes, 24, 0, slots) == pytest.approx(tokens, rel=1e-9)


def test_twice_as_many_requests_of_one_length_as_slots_take_two_rounds() -> None:
    costs = NOTHING._replace(fixed=1.0)
    classes = tuple(Class(1 / 16, 100.0) for _ in range(16))
    assert drained_seconds(costs, classes, 16, 0, slots=8) == pytest.approx(200)


def test_a_long_queue_takes_its_tokens_over_its_slots() -> None:
    """Of one length, 64 times as many as slots: 64 rounds."""
    costs = NOTHING._replace(fixed=1.0)
    classes = tuple(Class(1 / 16, 100.0) for _ in range(16))
    assert drained_seconds(costs, classes, 512, 0, slots=8) == pytest.approx(6400)


def test_engines_that_go_on_do_not_wait_for_the_last_response() -> None:
    lengths = Lengths(1000.0, 32768.0)
    one = sampler()
    costs = decode_costs(one, RATES)
    classes = classes_of(lengths, 64)
    age = sum(each.share * each.tokens**2 for each in classes) / (2 * 1000)
    steady = steady_seconds(one, lengths, 64, 128, 100.0, RATES)
    assert steady == pytest.approx(64 * 1000 / 128 * costs.seconds(128, 128 * (100 + age)), rel=1e-6)


def test_all_wait_for_the_engine_that_chance_gives_most_to_decode() -> None:
    """The largest of eight sums of 64 lengths is 1.42 deviations over their mean, so one has more samples' worth."""
    lengths = Lengths(300.0, 1000.0)
    eight = Sampling(sampler(), engines=8, samples=512.0, prompt=0.0, lengths=lengths)
    more = variation_of(classes_of(lengths, 512)) * 1.4236 / 64**0.5
    alone = eight._replace(engines=1, samples=64 * (1 + more))
    assert sampling_seconds(eight, RATES).busy == pytest.approx(sampling_seconds(alone, RATES).busy, rel=1e-3)


def test_slots_are_what_the_cache_holds_and_no_more_than_is_allowed() -> None:
    assert slots_of(sampler(capacity_tokens=50_000.0), 1000) == 50
    assert slots_of(sampler(capacity_tokens=1e9), 1000) == 256


def test_heads_that_do_not_suffice_are_copied() -> None:
    """16 GPUs and 8 heads: every token is cached twice, unless each GPU has sequences of its own."""
    alone = cached_bytes(sampler())
    assert cached_bytes(sampler(gpus=16)) == pytest.approx(2 * alone)
    assert cached_bytes(sampler(gpus=16, copies_attention=True)) == pytest.approx(alone)


def test_all_gpus_of_an_engine_hold_the_weights_once() -> None:
    norms = 10 * 2 * 4096 * 2  # of which each GPU has a copy
    whole = sampler_bytes(sampler())
    assert 8 * sampler_bytes(sampler(gpus=8)) == pytest.approx(whole + 7 * norms, rel=1e-6)
