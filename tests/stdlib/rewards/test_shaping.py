"""Shaping, against the figures that its sources hold themselves to."""

from typing import Literal

import pytest

from compiler.ir.openness import OFF
from compiler.ir.reward_settings import Overlong, Scale, Shaping
from stdlib.rewards._shaping import overlong_fine, scaled, shaped
from tests.support.judged import sample


def test_a_range_is_mapped_onto_another() -> None:
    scale = Scale(source_min=-2.0, source_max=2.0, target_min=-1.0, target_max=1.0)
    found = [scaled(r, scale) for r in (-2.8, -0.25, 1.5, 0.5, 2.0, 2.5)]
    assert found == pytest.approx([-1, -0.125, 0.75, 0.25, 1, 1])  # NeMo-RL, test of reward scaling


def test_the_fine_without_a_floor() -> None:
    overlong = Overlong(buffer_tokens=5, penalty=0.5, floor=False, max_tokens=25)
    pairs = zip((1, 0.8, 0.6, 0.4), (10, 22, 25, 30), strict=True)
    found = [reward + overlong_fine(length, overlong) for reward, length in pairs]
    assert found == pytest.approx([1, 0.6, 0.1, -0.6])  # NeMo-RL, test of DAPO reward shaping


@pytest.mark.parametrize(("length", "fine"), [(15, 0.0), (16, 0.0), (17, -0.25), (18, -0.5), (20, -1.0), (30, -1.0)])
def test_the_fine_of_the_paper(length: int, fine: float) -> None:
    overlong = Overlong(buffer_tokens=4, penalty=1.0, floor=True, max_tokens=20)
    assert overlong_fine(length, overlong) == fine  # DAPO, arXiv:2503.14476, eq. 13


def test_truncated_responses_keep_their_share() -> None:
    shaping = Shaping(scale=OFF, truncated_coef=0.5, overlong=OFF)
    ends: tuple[Literal["stop", "length"], ...] = ("stop", "length", "stop", "length")
    found = [shaped(r, sample("", finish=end), shaping) for r, end in zip((1, 0.8, 0.6, 0.4), ends, strict=True)]
    assert found == pytest.approx([1, 0.4, 0.6, 0.2])  # NeMo-RL, test of stop_properly_penalty_coef


def test_the_order_is_range_share_fine() -> None:
    shaping = Shaping(
        scale=Scale(source_min=0.0, source_max=1.0, target_min=0.0, target_max=10.0),
        truncated_coef=0.5,
        overlong=Overlong(buffer_tokens=4, penalty=1.0, floor=True, max_tokens=20),
    )
    assert shaped(1.0, sample("", finish="length", num_tokens=20), shaping) == 10 * 0.5 - 1
