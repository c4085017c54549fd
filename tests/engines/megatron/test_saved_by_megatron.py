"""Checkpoints that Megatron itself has saved, on some layout.  Oracle: the weights that its trainer was given."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from runtime.checkpoint.from_megatron import convert_from_megatron
from runtime.weights.initial import initial_weights
from tests.engines.megatron.on_ranks import Case, trainer_on_rank
from tests.engines.megatron.plans import launch_of
from tests.engines.megatron.test_families import FAMILIES
from tests.runtime.engines.tiny_trainer import policy_params, tiny_weights
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks

pytestmark = pytest.mark.L2

CASES: list[tuple[str, int, Changes]] = [
    ("qwen2", 1, {}),
    ("qwen3", 4, {"parallel.tp": "2", "parallel.sp": "true", "parallel.pp": "2"}),
    ("qwen3_moe", 2, {"parallel.ep": "2"}),
    ("deepseek_v3", 1, {}),
]


def saved_on_a_rank(case: Case, folder: Path) -> None:
    """Save the model as Megatron's own training loop does."""
    trainer = trainer_on_rank(case)
    checkpointing = import_module("megatron.core.dist_checkpointing")
    tensors = {}
    for at, chunk in enumerate(trainer._model.chunks):
        tensors[f"model{at}"] = chunk.module.sharded_state_dict()
    checkpointing.save(tensors, str(folder), validate_access_integrity=True)


@pytest.mark.parametrize(("name", "num_ranks", "changes"), CASES, ids=str)
def test_every_weight_is_exactly_what_the_trainer_was_given(
    tmp_path: Path, megatron_ranks: RunRanks, name: str, num_ranks: int, changes: Changes
) -> None:
    model = FAMILIES[name]
    weights = tiny_weights(model)
    launch = launch_of(tmp_path, model, changes, num_ranks=num_ranks)
    case = Case(launch=launch, params=policy_params(), weights=weights, batches=[])
    folder = tmp_path / "iter_0000001"
    folder.mkdir()
    megatron_ranks(num_ranks, saved_on_a_rank, case, folder)
    convert_from_megatron(folder, tmp_path / "out", model, dtype="as_is", shard_bytes=10**9)
    read = initial_weights(model.replacing(weights="out"), root=tmp_path, seed=0)
    assert set(read) == set(weights)
    assert all(read[key].equal(tensor) for key, tensor in weights.items())
