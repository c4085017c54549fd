"""Nodes of a Ray cluster that are kept for a run: as many as its plan has, each with what the plan says of a node.

One bundle of a placement group is one whole node.  Which device of its node a process has is the plan's to say and not
Ray's, so ranks are on the nodes and devices that the plan shows, whatever order Ray numbers bundles in: nodes are
taken in the order of their addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError


class KeptNode(NamedTuple):
    """A node, by Ray's name and its address, and the bundle that keeps it."""

    address: str
    node_id: str
    bundle: int


class Places:
    """Keeps nodes from the making of this until `release`.

    Args:
        cpus: processors that are kept of each.
        gpus: GPUs that are kept of each.
        patience_s: the longest that they are waited for.

    Raises: SpecError RLC0761 if the cluster has not got them in that time.
    """

    def __init__(self, nodes: int, *, cpus: int, gpus: int, patience_s: float) -> None:
        import ray
        from ray.util.placement_group import placement_group

        bundle: dict[str, float] = {"CPU": cpus, "GPU": gpus}
        bundle = {name: count for name, count in bundle.items() if count}
        large = [node for node in ray.nodes() if node["Alive"] and _holds(node["Resources"], bundle)]
        if len(large) < nodes:
            raise SpecError(_too_small(nodes, bundle, f"{len(large)} of its nodes have that much"))
        self._group: Any = placement_group([bundle] * nodes, strategy="STRICT_SPREAD")
        if not self._group.wait(patience_s):
            self.release()
            raise SpecError(_too_small(nodes, bundle, f"others keep them, and for {patience_s:g} s none became free"))
        self.nodes = _in_order(self._group)

    def options(self, node: int) -> dict[str, Any]:
        """Return what an actor is given to be on a node of the plan; it takes nothing of the bundle for itself."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(
            placement_group=self._group, placement_group_bundle_index=self.nodes[node].bundle
        )
        return {"num_cpus": 0, "num_gpus": 0, "scheduling_strategy": strategy}

    def release(self) -> None:
        """Give the nodes back; what is still on them is ended."""
        from ray.util.placement_group import remove_placement_group

        remove_placement_group(self._group)


def _in_order(group: Any) -> Sequence[KeptNode]:
    import ray
    from ray.util.placement_group import placement_group_table

    addresses = {node["NodeID"]: str(node["NodeManagerAddress"]) for node in ray.nodes()}
    on: dict[Any, str] = placement_group_table(group)["bundles_to_node_id"]
    return sorted(KeptNode(addresses[node], node, int(bundle)) for bundle, node in on.items())


def _holds(has: dict[str, float], needed: dict[str, float]) -> bool:
    return all(has.get(name, 0) >= count for name, count in needed.items())


def _too_small(nodes: int, bundle: dict[str, float], why: str) -> Diagnostic:
    each = " and ".join(f"{count:g} {name}{'s' if count > 1 else ''}" for name, count in bundle.items())
    ways = (
        Help("join a cluster that has them, or end what else runs there: ray status"),
        Help("or compile the plan for what there is: cluster.nodes, cluster.gpus_per_node"),
    )
    fact = f"the plan places {nodes:,} node{'s' if nodes > 1 else ''} of {each} on the Ray cluster, and {why}"
    return Diagnostic("RLC0761", fact, help=ways, paths=("cluster.nodes",))
