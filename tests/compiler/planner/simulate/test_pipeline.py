"""Pipelines event by event, held against the bubbles of arXiv:2104.04473, section 2.2."""

from __future__ import annotations

import pytest

from compiler.planner.simulate.pipeline import Pipeline, run_pipeline, slow_stage_frac


@pytest.mark.parametrize(("p", "m"), [(1, 1), (2, 1), (2, 4), (4, 4), (4, 6), (8, 32), (16, 5)])
@pytest.mark.parametrize(("forward", "backward"), [(1.0, 1.0), (1.0, 2.0), (3.0, 1.0)])
def test_one_forward_and_one_backward_wait_p_less_one_of_m_and_p_less_one(
    p: int, m: int, forward: float, backward: float
) -> None:
    found = run_pipeline(Pipeline(p, m, forward_s=forward, backward_s=backward))
    assert found.idle_frac == pytest.approx((p - 1) / (m + p - 1))
    assert found.seconds == pytest.approx((m + p - 1) * (forward + backward))


@pytest.mark.parametrize(("p", "m", "v"), [(2, 4, 2), (4, 8, 2), (4, 4, 3), (8, 32, 2), (2, 2, 5)])
@pytest.mark.parametrize(("forward", "backward"), [(1.0, 1.0), (1.0, 2.0)])
def test_interleaved_groups_of_layers_divide_the_bubble(
    p: int, m: int, v: int, forward: float, backward: float
) -> None:
    found = run_pipeline(Pipeline(p, m, v, forward, backward))
    assert found.idle_frac == pytest.approx((p - 1) / (v * m + p - 1))


def test_micro_batches_that_do_not_come_out_even_are_not_interleaved() -> None:
    with pytest.raises(ValueError, match="6 micro-batches cannot be interleaved over 4 stages"):
        run_pipeline(Pipeline(4, 6, 2))


def test_without_a_pipeline_a_slow_machine_stretches_the_whole_step() -> None:
    assert slow_stage_frac(Pipeline(1, 8)) == pytest.approx(1.0)


def test_a_slow_stage_stretches_its_own_passes_and_not_the_bubble() -> None:
    p, m = 4, 8
    assert slow_stage_frac(Pipeline(p, m)) == pytest.approx(m / (m + p - 1))
