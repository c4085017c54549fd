"""Examines the machines of a Ray cluster: on each of them the same as on one, and whether they reach one another.

One actor on each machine, which takes nothing of what Ray shares out, so that a cluster may be examined while it works.
Machines are numbered in the order of their addresses, as `ray_placement.py` does.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

from runtime.doctor.examine import examine
from runtime.doctor.needs import Finding, NodeNeeds, SharedFiles
from runtime.doctor.reach import Door, Doorkeeper, add_up, free_port, unreached
from runtime.executors.ray_cluster import RayCluster

_NAMED_AT_ONCE: Final = 3
_COLLECTIVE_S: Final = 30.0
_OPEN = "open the ports between the machines: firewall, security group, network policy"


class Machine(NamedTuple):
    """A machine of the cluster that has what the plan asks of one, by its number, address and Ray's name."""

    node: int
    address: str
    node_id: str


class DoctorShell:
    """What is asked on one machine; answers are plain values."""

    def __init__(self) -> None:
        self._keeper: Doorkeeper | None = None

    def examine(self, needs: NodeNeeds, files: SharedFiles) -> list[Finding]:
        """Compare this machine with what is asked of it."""
        return examine(needs, files)

    def versions(self) -> dict[str, str]:
        """Return what has to be the same on all machines."""
        return versions()

    def listen(self, node: int, address: str, ports: Sequence[int]) -> tuple[Door, int]:
        """Open a port, and return where, and another one that is free.  Raises: OSError."""
        self._keeper = Doorkeeper(node, address, ports)
        return self._keeper.door, free_port(address)

    def unreached(self, doors: Sequence[Door]) -> list[tuple[Door, str]]:
        """Connect to other machines."""
        return unreached(doors)

    def add_up(self, address: str, port: int, rank: int, num_ranks: int) -> str:
        """Take part in a sum over all machines."""
        return add_up(address, port, rank=rank, num_ranks=num_ranks, timeout_s=_COLLECTIVE_S)


def versions() -> dict[str, str]:
    """Return the versions of Python, rlc and Ray here: what travels between machines is pickled by them."""
    found = {"python": platform.python_version()}
    for name in ("rlc", "ray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def examine_cluster(
    address: str,
    needs: Sequence[NodeNeeds],
    files: SharedFiles,
    *,
    asked: Mapping[str, int],
    patience_s: float,
) -> list[Finding]:
    """Examine the cluster at an address for a plan that asks `needs` of its machines.

    Args:
        asked: what Ray has to know of each machine, by Ray's name: `CPU` and `GPU`.
        patience_s: the longest that machines are waited for, at each question.

    Raises: SpecError RLC0760 if it cannot be joined.
    """
    cluster = RayCluster.joined(address)
    try:
        return examine_machines(needs, files, asked=asked, patience_s=patience_s)
    finally:
        cluster.close()


def examine_machines(
    needs: Sequence[NodeNeeds], files: SharedFiles, *, asked: Mapping[str, int], patience_s: float
) -> list[Finding]:
    """Examine the cluster that this process is connected to, as `examine_cluster` says."""
    machines, found = _machines(len(needs), asked)
    doctors = _Doctors(machines, patience_s)
    try:
        found += doctors.found(needs, files)
    finally:
        doctors.end()
    return sorted(found, key=lambda finding: finding.node)


def _machines(planned: int, asked: Mapping[str, int]) -> tuple[list[Machine], list[Finding]]:
    """Return the machines that are large enough, and whether there are as many as are planned."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    large = sorted(
        (str(node["NodeManagerAddress"]), str(node["NodeID"]))
        for node in alive
        if all(node["Resources"].get(name, 0) >= count for name, count in asked.items())
    )
    each = " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in asked.items() if count)
    told = f"{planned} of {each} are planned, and {len(large)} of the cluster's {len(alive)} have that much"
    if len(large) < planned:
        way = "add machines to the cluster (ray status), or plan for those there are: cluster.nodes"
        finding = Finding(len(large), "machines", "short", told, way)
    else:
        finding = Finding(0, "machines", "fine", told)
    return [Machine(node, *one) for node, one in enumerate(large)], [finding]


class _Doctors:
    """One actor on each machine; a machine that does not answer is asked nothing more."""

    def __init__(self, machines: Sequence[Machine], patience_s: float) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._patience_s = patience_s
        self._machines = {machine.node: machine for machine in machines}
        self._actors: dict[int, Any] = {}
        for machine in machines:
            there = NodeAffinitySchedulingStrategy(node_id=machine.node_id, soft=False)
            options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": there, "max_restarts": 0}
            self._actors[machine.node] = ray.remote(DoctorShell).options(**options).remote()

    def end(self) -> None:
        """End the actors."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor)

    def found(self, needs: Sequence[NodeNeeds], files: SharedFiles) -> list[Finding]:
        """Return what was found on all machines."""
        # A machine that the plan may take instead of another is asked for what the last one is.
        of = {node: replace(needs[min(node, len(needs) - 1)], node=node) for node in self._machines}
        answers, found = self._asked(lambda actor, node: actor.examine.remote(of[node], files))
        found += [finding for answer in answers.values() for finding in answer]
        answers, missing = self._asked(lambda actor, _: actor.versions.remote())
        found += missing
        found += [finding for node, answer in answers.items() for finding in _same(node, answer)]
        if len(self._machines) < 2:
            return found
        ports = {node: [need.port for need in of[node].ports] for node in of}
        address = {node: machine.address for node, machine in self._machines.items()}
        listening, missing = self._asked(lambda actor, node: actor.listen.remote(node, address[node], ports[node]))
        doors = [door for door, _ in listening.values()]
        reached, silent = self._asked(lambda actor, node: actor.unreached.remote([d for d in doors if d.node != node]))
        network = [finding for node, faults in reached.items() for finding in _network(node, faults, len(doors) - 1)]
        found += [*missing, *silent, *network]
        if missing or silent or any(finding.state == "short" for finding in network):
            return found  # they would wait for one another in vain
        return found + self._added_up(doors, {door.node: port for door, port in listening.values()})

    def _added_up(self, doors: Sequence[Door], ports: Mapping[int, int]) -> list[Finding]:
        first = doors[0]
        ranks = {door.node: rank for rank, door in enumerate(doors)}
        answers, silent = self._asked(
            lambda actor, node: actor.add_up.remote(first.address, ports[first.node], ranks[node], len(ranks))
        )
        faults = {node: why for node, why in answers.items() if why}
        if not faults and not silent:
            return [Finding(first.node, "collectives", "fine", f"{len(ranks)} machines add up over gloo")]
        return silent + [
            Finding(node, "collectives", "short", f"a sum over all machines with gloo fails: {why}", _OPEN)
            for node, why in list(faults.items())[:_NAMED_AT_ONCE]
        ]

    def _asked(self, ask: Callable[[Any, int], Any]) -> tuple[dict[int, Any], list[Finding]]:
        """Ask all machines at once; return the answers, and those that gave none, which are asked no more."""
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        promises = {node: ask(actor, node) for node, actor in self._actors.items()}
        ray.wait(list(promises.values()), num_returns=max(1, len(promises)), timeout=self._patience_s)
        answers: dict[int, Any] = {}
        found: list[Finding] = []
        for node, promise in promises.items():
            try:
                answers[node] = ray.get(promise, timeout=0)
            except GetTimeoutError:
                found.append(self._silent(node, f"it has not answered for {self._patience_s:g} s"))
            except RayError as fault:
                found.append(self._silent(node, _last_line(fault)))
        return answers, found

    def _silent(self, node: int, why: str) -> Finding:
        import ray

        ray.kill(self._actors.pop(node))
        machine = self._machines.pop(node)
        way = "install the same rlc there that is here, and look at the machine: ray list nodes"
        return Finding(node, "machines", "short", f"{machine.address} cannot be asked: {why}", way)


def _same(node: int, there: Mapping[str, str]) -> Iterator[Finding]:
    here = versions()
    told = ", ".join(f"{name} {there[name]}" for name in here)
    if differing := [name for name in here if here[name] != there[name]]:
        way = "install the same there: " + ", ".join(f"{name} {here[name]}" for name in differing)
        yield Finding(node, "versions", "short", f"{told}, and where rlc was called they are others", way)
    else:
        yield Finding(node, "versions", "fine", told)


def _network(node: int, faults: Sequence[tuple[Door, str]], others: int) -> Iterator[Finding]:
    for door, why in faults[:_NAMED_AT_ONCE]:
        told = f"machine {door.node} at {door.address}:{door.port} cannot be reached from there: {why}"
        yield Finding(node, "network", "short", told, _OPEN)
    if not faults:
        yield Finding(node, "network", "fine", f"it reaches the other {others}")


def _last_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return lines[-1][:300] if lines else type(fault).__name__
