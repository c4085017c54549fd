"""Sixty-four GPUs on eight nodes, all of them pretended by one machine: placed, refused, and taken down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.executors.ray_cluster import Node, RayCluster
from runtime.executors.ray_placement import Places

pytestmark = [pytest.mark.torch, pytest.mark.slow]

NODES, GPUS = 8, 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Eight nodes of eight GPUs."""
    started = RayCluster.started([Node(16, GPUS, {})] * NODES, patience_s=300)
    yield started
    started.close()


def _fault(nodes: int, gpus: int) -> str:
    with pytest.raises(SpecError) as caught:
        Places(nodes, cpus=1, gpus=gpus, patience_s=2)
    (found,) = caught.value.diagnostics
    assert found.code == "RLC0761"
    return found.message


@pytest.mark.usefixtures("cluster")
def test_every_node_of_the_plan_is_a_node_of_its_own_in_an_order_that_stays() -> None:
    first = Places(NODES, cpus=8, gpus=GPUS, patience_s=60)
    assert len({node.node_id for node in first.nodes}) == NODES
    assert sorted(node.bundle for node in first.nodes) == list(range(NODES))
    order = [node.node_id for node in first.nodes]
    first.release()
    again = Places(NODES, cpus=8, gpus=GPUS, patience_s=60)
    assert [node.node_id for node in again.nodes] == order
    again.release()


@pytest.mark.usefixtures("cluster")
def test_what_the_cluster_has_not_got_is_said_and_not_waited_for() -> None:
    assert "9 nodes of 1 CPU and 8 GPUs on the Ray cluster, and 8 of its nodes have that much" in _fault(9, 8)
    assert "1 node of 1 CPU and 9 GPUs on the Ray cluster, and 0 of its nodes have that much" in _fault(1, 9)


@pytest.mark.usefixtures("cluster")
def test_what_somebody_else_keeps_is_waited_for_as_long_as_the_plan_says() -> None:
    kept = Places(NODES, cpus=1, gpus=GPUS, patience_s=60)
    assert _fault(1, 1).endswith("others keep them, and for 2 s none became free")
    kept.release()
    Places(1, cpus=1, gpus=1, patience_s=60).release()
