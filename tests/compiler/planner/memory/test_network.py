"""Parameters by how they are spread: together they are those of the library's models."""

from __future__ import annotations

import pytest

from compiler.ir.model import Moe
from compiler.planner.memory.network import LayerKinds, Network, layer_kinds, network_of
from compiler.planner.memory.pipeline import Layout, stage_layers
from compiler.planner.memory.static import stage_parameters
from compiler.planner.parameters import parameters_of
from rlc.catalogue import scan
from rlc.models import LibraryModel, read_models

MODELS = read_models(scan())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_has_as_many_parameters_as_its_parts(model: LibraryModel) -> None:
    """Prediction layers apart, which are not counted among a model's; a head counts once where it is tied."""
    parts = stage_parameters(network_of(model.facts)._replace(mtp_layers=0), Layout(), 0)
    counted = parameters_of(model.facts).total
    assert parts.total == pytest.approx(counted, rel=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("chunks", [1, 2])
def test_stages_together_have_all_layers(model: LibraryModel, chunks: int) -> None:
    network = network_of(model.facts)
    layout = Layout(pp=2, vpp=chunks)
    together = stage_layers(network, layout, 0).plus(stage_layers(network, layout, 1))
    assert together == layer_kinds(network, 0, network.num_layers)


def test_leading_layers_are_dense_and_every_fourth_has_full_attention() -> None:
    network = Network(
        8, 4, 4, 1, 1, 4, 10, moe=Moe(num_experts=2, experts_per_token=1, expert_size=4, num_dense_layers=3)
    )
    assert layer_kinds(network, 0, 8) == LayerKinds(dense=3, sparse=5, full=8, linear=0)
    assert layer_kinds(network, 2, 6) == LayerKinds(dense=1, sparse=3, full=4, linear=0)
