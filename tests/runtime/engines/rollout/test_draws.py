"""Draws against the published numbers of SplitMix64, and against what uniform means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from compiler.passes.derive_seeds import stream_seed
from runtime.engines.rollout.native.draws import group_stream, mix, uniform_draws
from runtime.protocols import DrawKey

pytestmark = pytest.mark.torch

GAMMA = 0x9E3779B97F4A7C15
WORD = (1 << 64) - 1
# The first numbers of SplitMix64 from seed 1234567, as test suites of several languages print them.
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
KEY = DrawKey(seed=3, stage=0, step=0, group=0)


def test_the_finaliser_gives_the_published_numbers() -> None:
    assert tuple(mix(1234567 + (i + 1) * GAMMA) for i in range(5)) == PUBLISHED


def test_seeds_of_streams_are_the_published_numbers_without_their_sign() -> None:
    assert tuple(stream_seed(1234567, i) for i in range(5)) == tuple(n >> 1 for n in PUBLISHED)


def inverse(bits: int) -> int:
    """Return what the finaliser maps to `bits`, by undoing its five steps in turn."""

    def unshifted(word: int, by: int) -> int:
        found = word
        for _ in range(64 // by + 1):
            found = word ^ (found >> by)
        return found

    bits = unshifted(bits, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & WORD
    bits = unshifted(bits, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & WORD
    return unshifted(bits, 30)


def test_draws_are_the_top_52_bits_of_the_published_numbers() -> None:
    # Sample 0 of a stream counts on from mix(stream + gamma): this stream is the one that begins at 1234567.
    stream = inverse(1234567) - GAMMA & WORD
    drawn = uniform_draws([stream], [0], num_draws=5)
    assert drawn.tolist() == [[(n >> 12) * 2.0**-52 for n in PUBLISHED]]


def test_tensors_and_numbers_are_mixed_alike() -> None:
    streams, samples = [0, 1, WORD, 1 << 63, 12345], [0, 7, 1, 2**40, 3]
    for stream, sample, row in zip(
        streams, samples, uniform_draws(streams, samples, num_draws=9).tolist(), strict=True
    ):
        begin = mix((stream ^ sample) + GAMMA)
        assert row == [(mix(begin + (i + 1) * GAMMA) >> 12) * 2.0**-52 for i in range(9)]


def test_a_row_depends_on_its_own_stream_and_sample_only() -> None:
    together = uniform_draws([5, 6, 5], [0, 0, 1], num_draws=8)
    assert together[2].equal(uniform_draws([5], [1], num_draws=8)[0])
    assert together[1, :3].equal(uniform_draws([6], [0], num_draws=3)[0])
    assert len(set(together.flatten().tolist())) == 24


def test_a_row_that_begins_later_has_the_draws_of_its_later_positions() -> None:
    whole = uniform_draws([5, 6], [0, 3], num_draws=8)
    rest = uniform_draws([5, 6, 6], [0, 3, 3], num_draws=3, first_draws=[5, 2, 0])
    assert rest[0].equal(whole[0, 5:])
    assert rest[1].equal(whole[1, 2:5])
    assert rest[2].equal(whole[1, :3])


@pytest.mark.parametrize("of", ["positions", "samples", "groups", "steps", "seeds"])
def test_draws_are_uniform_along(of: str) -> None:
    rows: dict[str, Callable[[], torch.Tensor]] = {
        "positions": lambda: uniform_draws([group_stream(KEY)], [0], num_draws=20_000)[0],
        "samples": lambda: uniform_draws([group_stream(KEY)] * 20_000, range(20_000), num_draws=1)[:, 0],
        "groups": lambda: firsts([replace(KEY, group=i) for i in range(20_000)]),
        "steps": lambda: firsts([replace(KEY, step=i) for i in range(20_000)]),
        "seeds": lambda: firsts([replace(KEY, seed=i) for i in range(20_000)]),
    }
    drawn = rows[of]()
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    # 100 cells: the 99.9% quantile of chi-square with 99 degrees of freedom is 148.23.
    counts = torch.histc(drawn, bins=100, min=0.0, max=1.0)
    assert float(((counts - 200) ** 2 / 200).sum()) < 148.23
    # Neighbours are not correlated: the standard error of the product's mean is 1 / 12 / sqrt(20,000).
    centred = drawn - 0.5
    assert abs(float((centred[1:] * centred[:-1]).mean())) < 3.3 / 12 / 20_000**0.5


def firsts(keys: list[DrawKey]) -> torch.Tensor:
    return uniform_draws([group_stream(k) for k in keys], [0] * len(keys), num_draws=1)[:, 0]


def test_parts_of_a_key_are_not_confused() -> None:
    numbers = [(a, b, c, d) for a in range(3) for b in range(3) for c in range(3) for d in range(3)]
    streams = {group_stream(DrawKey(seed=a, stage=b, step=c, group=d)) for a, b, c, d in numbers}
    assert len(streams) == 81
