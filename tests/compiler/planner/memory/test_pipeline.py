"""Layers and micro-batches of a stage, against schedules that are played through."""

from __future__ import annotations

import pytest

from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout, in_flight, stage_layers

NETWORK = Network(12, 4, 4, 1, 1, 4, 10)


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("micro_batches", [1, 2, 8])
def test_one_forward_one_backward_holds_what_has_not_come_back(stage: int, micro_batches: int) -> None:
    """Played through: p - i - 1 forwards, then one forward and one backward in turn."""
    held, most = 0, 0
    warmup = min(4 - stage - 1, micro_batches)
    steps = ["F"] * warmup + ["F", "B"] * (micro_batches - warmup) + ["B"] * warmup
    for step in steps:
        held += 1 if step == "F" else -1
        most = max(most, held)
    assert in_flight(Layout(pp=4), stage, micro_batches) == most


@pytest.mark.parametrize("stage", range(4))
def test_interleaved_chunks_hold_what_megatron_warms_up_with(stage: int) -> None:
    """Its warm-up is 2 (p - i - 1) + (v - 1) p chunks, and one more forward comes before the first backward."""
    layout = Layout(pp=4, vpp=3)
    assert in_flight(layout, stage, 8) * 3 == 2 * (3 - stage) + 2 * 4 + 1


def test_no_more_is_under_way_than_there_is() -> None:
    assert in_flight(Layout(pp=4, vpp=3), 0, 1) == 1


def test_the_first_and_the_last_stage_may_have_layers_of_their_own() -> None:
    layout = Layout(pp=4, first_layers=2, last_layers=4)
    assert [stage_layers(NETWORK, layout, stage).all for stage in range(4)] == [2, 3, 3, 4]
    only_last = Layout(pp=4, last_layers=3)
    assert [stage_layers(NETWORK, only_last, stage).all for stage in range(4)] == [3, 3, 3, 3]


def test_chunks_of_a_stage_are_every_pth() -> None:
    assert [stage_layers(NETWORK, Layout(pp=2, vpp=3), stage).all for stage in range(2)] == [6, 6]
