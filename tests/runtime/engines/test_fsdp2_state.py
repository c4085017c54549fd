"""State of the FSDP2 trainer: saved on one layout, gone on with on another, or in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Never

import pytest
import torch
from torch import Tensor

from compiler.ir.machine import Parallel
from runtime.engines.train.fsdp2 import Fsdp2Trainer
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from runtime.protocols import Trainer
from stdlib.algorithms import grpo
from tests.runtime.engines.tiny_ranks import layout, on_ranks, spec_with
from tests.runtime.engines.tiny_trainer import grouped_batch, tiny_families, tiny_optim, tiny_weights
from tests.support.ranks import RanksFailedError, RunRanks

pytestmark = pytest.mark.torch

State = dict[str, Tensor]
Ran = tuple[list[dict[str, float]], State]


def spec(family: str = "qwen3") -> TrainerSpec:
    model = tiny_families()[family]
    return spec_with(model=model, optim=tiny_optim(eps=1e-3, weight_decay=0.1), keep_reference=True)


def goes_on(trainer: Trainer, state: Mapping[str, Tensor] | None, steps: range) -> Ran:
    """Return metrics of some steps after a state, and the state behind them."""
    if state is not None:
        trainer.load_state(state)
    return [dict(trainer.step(grouped_batch(seed))) for seed in steps], trainer.state()


def goes_on_here(given: TrainerSpec, state: Mapping[str, Tensor] | None, steps: range) -> Ran:
    return goes_on(TorchTrainer(given, grpo, tiny_weights(given.model)), state, steps)


def goes_on_on_ranks(
    given: TrainerSpec, parallel: Parallel[Never], state: Mapping[str, Tensor] | None, steps: range
) -> Ran:
    return goes_on(Fsdp2Trainer(given, parallel, grpo, tiny_weights(given.model)), state, steps)


LAYOUTS: dict[str, dict[str, Any] | None] = {
    "dp4": {"dp": 4},
    "tp2-sp": {"tp": 2, "sp": True},
    "cp2-tp2": {"cp": 2, "tp": 2},
    "alone": None,
}


@pytest.mark.parametrize(
    ("family", "first", "second"),
    [
        ("qwen3", "dp4", "tp2-sp"),
        ("qwen3", "tp2-sp", "alone"),
        ("qwen3", "alone", "cp2-tp2"),
        ("glm4", "tp2-sp", "dp4"),  # whose first matrices of a layer are two in one
        ("deepseek_v3", "dp4", "tp2-sp"),
    ],
)
def test_a_run_goes_on_on_another_layout(family: str, first: str, second: str, run_ranks: RunRanks) -> None:
    given = spec(family)

    def ran(name: str, state: State | None, steps: range) -> Ran:
        sizes = LAYOUTS[name]
        if sizes is None:
            return goes_on_here(given, state, steps)
        found = on_ranks(run_ranks, given, layout(**sizes), goes_on_on_ranks, state, steps)
        assert all(not other for _, other in found[1:])
        whole: Ran = found[0]
        return whole

    _, middle = ran(first, None, range(2))
    metrics, end = ran(second, middle, range(2, 4))
    expected_metrics, expected_end = goes_on_here(given, None, range(4))
    assert list(end) == list(expected_end)
    for ours, theirs in zip(metrics, expected_metrics[2:], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    for name, tensor in expected_end.items():
        torch.testing.assert_close(end[name], tensor, rtol=1e-5, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")


def loads_and_saves(given: TrainerSpec, parallel: Parallel[Never], state: Mapping[str, Tensor]) -> State:
    trainer = Fsdp2Trainer(given, parallel, grpo, tiny_weights(given.model, seed=1))
    trainer.load_state(state)
    trainer.logprobs(grouped_batch(), of="reference")  # nothing of what a pass gathers may be left in the way
    return trainer.state()


@pytest.mark.parametrize("sizes", [{"dp": 4}, {"tp": 2}, {"cp": 2, "tp": 2}], ids=str)
@pytest.mark.parametrize("family", ["qwen2", "glm4_moe"])
def test_what_is_loaded_is_saved_bit_by_bit(family: str, sizes: dict[str, Any], run_ranks: RunRanks) -> None:
    given = spec(family)
    _, state = goes_on_here(given, None, range(1))
    found = on_ranks(run_ranks, given, layout(**sizes), loads_and_saves, state)[0]
    assert list(found) == list(state)
    assert all(found[name].equal(tensor) for name, tensor in state.items())


def seen_while_saving(given: TrainerSpec, parallel: Parallel[Never]) -> int:
    """Return how many whole weights this rank holds at once while the live weights are gone through."""
    trainer = Fsdp2Trainer(given, parallel, grpo, tiny_weights(given.model))
    return sum(1 for name, tensor in trainer.named_weights() if tensor.shape == tiny_weights(given.model)[name].shape)


def test_every_rank_sees_every_weight_whole(run_ranks: RunRanks) -> None:
    given = spec()
    found = on_ranks(run_ranks, given, layout(dp=2, tp=2), seen_while_saving)
    assert found == [len(tiny_weights(given.model))] * 4


def test_a_state_of_another_model_is_refused_by_name(run_ranks: RunRanks) -> None:
    given = spec()
    _, state = goes_on_here(given, None, range(1))
    state["model.model.norm.weight"] = torch.zeros(3)
    loads: Callable[..., State] = loads_and_saves
    with pytest.raises(RanksFailedError, match=r"RLC0644.*|model.model.norm.weight has shape \[3\] instead of \[32\]"):
        on_ranks(run_ranks, given, layout(dp=2), loads, state)
