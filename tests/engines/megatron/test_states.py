"""A state knows no layout: it goes on on any other, and in the trainer of one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from compiler.ir.model import Moe
from tests.engines.megatron.answers import assert_same
from tests.engines.megatron.on_ranks import Case, trained
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RanksFailedError, RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.L2

MODEL = tiny_model(family="qwen3_moe", moe=Moe(num_experts=6, experts_per_token=2, expert_size=24))
LAYOUTS: dict[str, tuple[int, Changes]] = {
    "pp2 ep2": (4, {"parallel.pp": "2", "parallel.ep": "2"}),
    "tp2 sp etp2": (2, {"parallel.tp": "2", "parallel.etp": "2"}),
    "cp2": (2, {"parallel.cp": "2"}),
}
FIRST, SECOND = grouped_batch(), grouped_batch(1)


def case_of(folder: Path, layout: str) -> Case:
    return Case(
        launch=launch_of(folder, MODEL, LAYOUTS[layout][1], num_ranks=LAYOUTS[layout][0]),
        params=policy_params(),
        weights=tiny_weights(MODEL),
        batches=[FIRST],
    )


@pytest.mark.parametrize(("saved", "loaded"), [("pp2 ep2", "tp2 sp etp2"), ("tp2 sp etp2", "cp2"), ("cp2", "pp2 ep2")])
def test_a_state_goes_on_on_another_layout(tmp_path: Path, megatron_ranks: RunRanks, saved: str, loaded: str) -> None:
    before, after = case_of(tmp_path, saved), case_of(tmp_path, loaded)
    state = megatron_ranks(LAYOUTS[saved][0], trained, before)[0].state
    after = replace(after, start=state, weights=tiny_weights(MODEL, seed=3), batches=[SECOND])
    assert_same(megatron_ranks(LAYOUTS[loaded][0], trained, after)[0], after.alone())


def test_a_state_on_the_same_layout_goes_on_bit_by_bit(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    case, num_ranks = case_of(tmp_path, "pp2 ep2"), 4
    whole = megatron_ranks(num_ranks, trained, replace(case, batches=[FIRST, SECOND]))[0]
    half = megatron_ranks(num_ranks, trained, case)[0]
    rest = megatron_ranks(num_ranks, trained, replace(case, start=half.state, batches=[SECOND]))[0]
    assert rest.metrics == whole.metrics[1:]
    assert all(tensor.equal(whole.state[name]) for name, tensor in rest.state.items())


def test_a_state_of_another_model_is_refused(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    case = case_of(tmp_path, "cp2")
    with pytest.raises(RanksFailedError, match="the checkpoint does not fit the trainer"):
        megatron_ranks(2, trained, replace(case, start={"optim.step": FIRST.tokens_T[0]}))
