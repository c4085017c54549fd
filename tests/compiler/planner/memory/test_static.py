"""What a GPU holds between two steps: closed forms in the number of parameters."""

from __future__ import annotations

import pytest

from compiler.ir.model import Moe
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import total
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import (
    Sharding,
    Storage,
    offloaded_bytes,
    stage_parameters,
    static_lines,
    unsharded_lines,
)

DENSE = Network(4, 64, 128, 4, 4, 16, 1000)
SPARSE = DENSE._replace(moe=Moe(num_experts=8, experts_per_token=2, expert_size=32))
COUNT = stage_parameters(DENSE, Layout(), 0).total


@pytest.mark.parametrize(
    ("shared", "copies", "each"),
    [("none", 8, 18.0), ("state", 8, 6 + 12 / 8), ("all", 8, 18 / 8)],
)
def test_bytes_of_a_parameter_by_what_copies_share(shared: str, copies: int, each: float) -> None:
    """2 + 4 + 12 in Megatron's mixed precision; ZeRO shares 12 or all 18 of them."""
    held = total(static_lines(DENSE, Layout(dp=copies), Storage(shared=shared), 0))
    assert held == pytest.approx(each * COUNT)


def test_a_seven_billion_model_is_what_zero_says() -> None:
    """arXiv:1910.02054, figure 1: 31.4 GB of 7.5B on 64 GPUs with shared optimizer state, 1.9 GB with everything."""
    big = Network(1, 1, 0, 0, 0, 0, 7_500_000_000, tied=True)
    layout = Layout(dp=64)
    assert total(static_lines(big, layout, Storage(gradient=2), 0)) / 1e9 == pytest.approx(31.4, abs=0.05)
    assert total(static_lines(big, layout, Storage(gradient=2, shared="all"), 0)) / 1e9 == pytest.approx(1.9, abs=0.05)


def test_experts_are_shared_by_fewer_copies_than_the_rest() -> None:
    layout = Layout(tp=2, dp=8, ep=4, etp=1)
    parts = stage_parameters(SPARSE, layout, 0)
    dense, routed = parts.split / 2 + parts.copied, parts.routed / 4
    expected = 6 * (dense + routed) + 12 * (dense / 8 + routed / 4)
    assert total(static_lines(SPARSE, layout, Storage(), 0)) == pytest.approx(expected)


def test_ends_of_a_pipeline_have_the_tables() -> None:
    layout = Layout(pp=4)
    counts = [stage_parameters(DENSE, layout, stage).total for stage in range(4)]
    table = 1000 * 64
    assert counts[0] - counts[1] == table
    assert counts[3] - counts[1] == table + 64
    assert sum(counts) == COUNT
    tied = [stage_parameters(DENSE._replace(tied=True), layout, stage).total for stage in (0, 3)]
    assert tied == [counts[0], counts[3]], "a tied head is a copy on a GPU of its own"


def test_what_is_offloaded_is_on_the_host() -> None:
    half = Storage(offloaded_frac=0.5)
    kept, all_of_it = (total(static_lines(DENSE, Layout(dp=2), s, 0)) for s in (half, Storage()))
    assert all_of_it - kept == pytest.approx(0.5 * 12 * COUNT / 2)
    assert offloaded_bytes(DENSE, Layout(dp=2), half, 0) == pytest.approx(0.5 * 16 * COUNT / 2)
    assert offloaded_bytes(DENSE, Layout(dp=2), Storage(), 0) == 0


def test_only_shards_are_gathered() -> None:
    assert unsharded_lines(DENSE, Layout(dp=2), Storage(), CONSTANTS) == ()
    gathered = unsharded_lines(DENSE, Layout(dp=2), Storage(shared="all"), CONSTANTS)
    assert [line.name for line in gathered] == ["gathered layers", "gathered tables"]


FULL = Storage(weight=4, gradient=4, master=0, moments=8, shared="all")


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_groups_of_shards_hold_the_whole_model_each(groups: int) -> None:
    """16 bytes of a parameter, over the copies of one group."""
    storage = FULL._replace(sharding=Sharding(groups=groups))
    held = total(static_lines(DENSE, Layout(dp=4, cp=2), storage, 0))
    assert held == pytest.approx(16 * COUNT / (8 / groups))


def test_what_fsdp_offloads_is_all_on_the_host_and_nothing_on_the_gpu() -> None:
    storage = FULL._replace(sharding=Sharding(is_on_host=True))
    assert static_lines(DENSE, Layout(dp=8), storage, 0) == ()
    assert offloaded_bytes(DENSE, Layout(dp=8), storage, 0) == pytest.approx(16 * COUNT / 8)


def test_layers_that_are_not_given_back_are_all_gathered() -> None:
    """As many bytes as all layers have in two bytes a parameter; in four parts a quarter of those not under way."""
    deep = DENSE._replace(num_layers=32)
    layer = 2 * (stage_parameters(deep, Layout(), 0).total - 2 * 1000 * 64 - 64) / 32
    under_way = CONSTANTS.gathered_layers

    def gathered(kept_frac: float) -> float:
        storage = FULL._replace(sharding=Sharding(kept_frac=kept_frac))
        return unsharded_lines(deep, Layout(dp=8), storage, CONSTANTS)[0].bytes

    assert gathered(1.0) == pytest.approx(32 * layer)
    assert gathered(0.25) == pytest.approx((under_way + (32 - under_way) / 4) * layer)
    assert gathered(0.0) == pytest.approx(under_way * layer)
