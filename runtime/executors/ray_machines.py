"""The machines of a run on Ray: as many as its plan has, each with what the plan takes of it.

Without a cluster they are nodes of this machine, each at a loopback address that no other run has: the ports of a plan
are then free on each of them, as they are on machines.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Never

from compiler.ir.bundles import bundles_of
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement
from runtime import environ
from runtime.executors.ray_cluster import Node, RayCluster
from runtime.executors.ray_placement import Places

_LOOPBACK_ONLY = {"GLOO_SOCKET_IFNAME": "lo"}
_LOOPBACK = "127.0.0.1"


class Machines:
    """Kept from the making of this until `close`.

    Raises: SpecError RLC0760 if there is no cluster, RLC0761 if it has not got what the plan places.
    """

    def __init__(self, experiment: Experiment[Never], *, patience_s: float) -> None:
        bundles = bundles_of(experiment).bundles
        self._variables = {v.name: v.value for v in experiment.cluster.environment}
        # Every machine of a plan is like every other one, and is kept whole.
        cpus, gpus = (max(getattr(bundle, kind) for bundle in bundles) for kind in ("cpus", "gpus"))
        address = environ.secret("RAY_ADDRESS")
        own = [Node(cpus, gpus, {})] * len(bundles)
        self._cluster = RayCluster.joined(address) if address else RayCluster.started(own, patience_s=patience_s)
        with ExitStack() as otherwise:
            otherwise.callback(self._cluster.close)
            self._places = Places(len(bundles), cpus=cpus, gpus=gpus, patience_s=patience_s)
            otherwise.pop_all()
        self.addresses = tuple(node.address for node in self._places.nodes)
        if self._cluster.is_own:
            self.addresses = (_LOOPBACK,) * len(bundles)
            if isinstance(experiment.placement, GpuPlacement):
                self.addresses = _own_addresses(len(bundles))
                self._variables |= _LOOPBACK_ONLY

    def options(self, node: int, variables: Mapping[str, str]) -> dict[str, Any]:
        """Return what an actor on a machine is given: its place, and variables beside those of the plan."""
        environment = {"env_vars": {**self._variables, **variables}}
        return {**self._places.options(node), "runtime_env": environment, "max_restarts": 0}

    def close(self) -> None:
        """Give the machines back, with all that is on them, and leave the cluster."""
        self._places.release()
        self._cluster.close()


def _own_addresses(count: int) -> tuple[str, ...]:
    """Return addresses of the loopback that this run has for itself, as far as chance can say."""
    first = (127 << 24) + ((1 + secrets.randbelow(254)) << 16) + (secrets.randbelow(240) << 8)
    numbers = [first + 1 + at for at in range(count)]
    return tuple(".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0)) for number in numbers)
