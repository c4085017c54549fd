"""Ratios within rounds, and which rounds count."""

from __future__ import annotations

import pytest

from benchmarks.load import Moment
from benchmarks.rounds import Contestant, Effort, Measurement, Round, Rounds, take_rounds


def _round(slow_s: float, quick_s: float, *, foreign_cores: float = 0.0) -> Round:
    return Round(found={"slow": {"wall_s": slow_s}, "quick": {"wall_s": quick_s}}, foreign_cores=foreign_cores)


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # Ratios 2, 3 and 4; the ratio of the medians would be 8 / 2 = 4.
    rounds = Rounds(rounds=[_round(2.0, 1.0), _round(30.0, 10.0), _round(8.0, 2.0)])
    assert rounds.ratio("slow", "quick", of="wall_s") == 3.0


def test_a_round_that_others_disturbed_does_not_count_beside_five_quiet_ones() -> None:
    quiet = [_round(2.0, 1.0)] * 5
    rounds = Rounds(rounds=[*quiet, *[_round(90.0, 1.0, foreign_cores=1.5)] * 9])
    assert rounds.num_quiet == 5
    assert rounds.medians() == {"slow": {"wall_s": 2.0}, "quick": {"wall_s": 1.0}}


def test_all_rounds_count_where_fewer_than_five_were_quiet() -> None:
    rounds = Rounds(rounds=[*[_round(2.0, 1.0)] * 4, *[_round(6.0, 1.0, foreign_cores=1.5)] * 9])
    assert rounds.ratio("slow", "quick", of="wall_s") == 6.0


def test_contestants_take_turns_and_every_other_round_is_reversed() -> None:
    calls: list[str] = []

    def contestant(name: str) -> Contestant:
        def run() -> Measurement:
            calls.append(name)
            return {"wall_s": 1.0}

        return Contestant(name=name, run=run)

    found = take_rounds([contestant("a"), contestant("b")], Effort(rounds=2, patience_s=0.0))
    # The first of each is not counted; without patience there are as many rounds as were wanted.
    assert "".join(calls[:6]) == "ab" + "ab" + "ba"
    assert len(calls) == 2 + 2 * len(found.rounds)


def test_foreign_cores_are_what_the_machine_used_beyond_us_over_the_time_that_passed() -> None:
    before = Moment(wall_s=10.0, machine_s=100.0, own_s=5.0)
    after = Moment(wall_s=14.0, machine_s=107.0, own_s=8.0)
    assert after.foreign_cores_since(before) == pytest.approx((7.0 - 3.0) / 4.0)
