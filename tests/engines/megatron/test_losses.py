"""Losses that need whole sequences, or another model, are those of one process where ranks share the sequences."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.loss import KL
from tests.engines.megatron.answers import assert_same
from tests.engines.megatron.on_ranks import Case, trained
from tests.engines.megatron.plans import launch_of
from tests.runtime.engines.test_every_algorithm_is_packed import batch_of
from tests.runtime.engines.tiny_trainer import grouped_batch, policy_params, tiny_weights
from tests.stdlib.algorithms.cases import CASES, params_of
from tests.support.good_spec import Changes
from tests.support.ranks import RunRanks
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.L2

SPLIT: Changes = {"parallel.cp": "2"}  # of four ranks, so there are two shares of the batch


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].teacher is None])
def test_every_algorithm_has_the_loss_of_one_process(tmp_path: Path, megatron_ranks: RunRanks, name: str) -> None:
    model = tiny_model()
    case = Case(
        launch=launch_of(tmp_path, model, SPLIT, num_ranks=4),
        params=params_of(name, "sequence"),
        weights=tiny_weights(model),
        batches=[batch_of(name)],
        algorithm_name=name,
    )
    assert_same(megatron_ranks(4, trained, case)[0], case.alone())


def test_a_reference_answers_as_in_one_process_and_can_follow(tmp_path: Path, megatron_ranks: RunRanks) -> None:
    model = tiny_model(tie_embeddings=False)
    case = Case(
        launch=launch_of(tmp_path, model, {"parallel.tp": "2", "parallel.pp": "2"}, num_ranks=4),
        params=policy_params(kl=KL(estimator="k3", coef=0.5)),
        weights=tiny_weights(model),
        batches=[grouped_batch(), grouped_batch(1), grouped_batch(2)],
        changes={"keep_reference": True, "temperature": 0.7},
    )
    found = megatron_ranks(4, trained, case)[0]
    assert found.metrics[0]["train/kl"] == pytest.approx(0.0, abs=1e-6)
    assert_same(found, case.alone())
