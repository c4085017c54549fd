"""What stands in braces in a launch, for every process of a role.

    {port} {second_port} {third_port}   of its engine, counted on the machine on which the engine begins; {last_port}
                                        is the last one that is kept for it
    {first_gpu} {gpus}                  its GPUs on its machine: the lowest one, and all of them with commas
    {node_rank}                         its machine among those of its engine
    {seed}                              run.seed plus the number of its engine, in 31 bits
    {rank} {local_rank} {world_size}    of a trainer's process
    {address} {first_address}           of its machine, and of the machine on which its engine begins
    {token}                             the secret that requests carry; these three are known when a run begins
    {node_0} {node_1} ...               the address of a machine by its number, which is known then too
    {engines}                           of a router, as a word of its own: the addresses of all engines, a word for each
    {prefills} {decodes}                engines of the two kinds; the word before it, the option, stands before each
    {plan} {stage}                      the file of the plan, and the name of the stage, of a server of rlc itself

A role has one record however many processes it has, so a plan of ten thousand GPUs is read as one of eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Experiment
from compiler.ir.machine import EngineGroup, GpuPlacement, Parallel, RoleLaunch

_SEEDS = 2**31


class Process(NamedTuple):
    """One process of a role, on machine `node`; `engine` is the number of its engine, which begins on `first_node`.

    Of a trainer all processes are one engine.
    """

    engine: int
    node: int
    first_node: int
    values: Mapping[str, str]

    @property
    def is_first(self) -> bool:
        """Whether it is on the machine on which its engine begins."""
        return self.node == self.first_node


def processes(experiment: Experiment[Any], launch: RoleLaunch) -> Iterator[Process]:
    """Yield the processes of a role in the order of their engines, and of machines within an engine."""
    placement, cluster = experiment.placement, experiment.cluster
    assert isinstance(placement, GpuPlacement), "what is launched is on GPUs"
    on_a_node = max(1, cluster.num_gpus // cluster.nodes)
    if launch.role in ("rollout", "prefill", "decode"):
        yield from _engine_processes(placement.engine_groups(), launch, on_a_node, experiment.run.seed)
        return
    judges = placement.judge_group(cluster.num_gpus)
    if launch.role == "judge" and judges is not None:
        yield from _engine_processes((judges,), launch, on_a_node, experiment.run.seed)
        return
    if launch.role == "router":
        yield Process(0, 0, 0, _router_values(placement, launch, on_a_node))
        return
    for rank in range(placement.train_gpus):
        node, local = divmod(rank, on_a_node)
        values = {
            "port": str(launch.first_port),
            "rank": str(rank),
            "local_rank": str(local),
            "world_size": str(placement.train_gpus),
            "first_gpu": str(local),
            "gpus": str(local),
        }
        yield Process(0, node, 0, values)


class _Seat(NamedTuple):
    """An engine: its number among all, the group that it is of, its GPUs, its machines, and the first of its ports."""

    engine: int
    group: EngineGroup
    gpus: range
    nodes: range
    port: int


def _seats(groups: Sequence[EngineGroup], launch: RoleLaunch, on_a_node: int) -> Iterator[_Seat]:
    """All engines of some groups in order; those of both kinds count their ports together."""
    begun: dict[int, int] = {}
    number = 0
    for group in groups:
        for engine in range(group.engines):
            first = group.first_gpu + engine * group.gpus
            gpus = range(first, first + group.gpus)
            nodes = range(gpus[0] // on_a_node, gpus[-1] // on_a_node + 1)
            port = launch.first_port + launch.ports * begun.get(nodes[0], 0)
            begun[nodes[0]] = begun.get(nodes[0], 0) + 1
            yield _Seat(number, group, gpus, nodes, port)
            number += 1


def _engine_processes(
    groups: Sequence[EngineGroup], launch: RoleLaunch, on_a_node: int, seed: int
) -> Iterator[Process]:
    for seat in _seats(groups, launch, on_a_node):
        if seat.group.role != launch.role:
            continue
        for node in seat.nodes:
            local = [gpu % on_a_node for gpu in seat.gpus if gpu // on_a_node == node]
            values = {
                "port": str(seat.port),
                "second_port": str(seat.port + 1),
                "third_port": str(seat.port + 2),
                "last_port": str(seat.port + launch.ports - 1),
                "first_gpu": str(local[0]),
                "gpus": ",".join(map(str, local)),
                "node_rank": str(node - seat.nodes[0]),
                "seed": str((seed + seat.engine) % _SEEDS),
            }
            yield Process(seat.engine, node, seat.nodes[0], values)


def _router_values(placement: GpuPlacement[Any], launch: RoleLaunch, on_a_node: int) -> dict[str, str]:
    """What a router is told of the engines behind it: those whose launches serve the first of its stages."""
    behind = [one for one in placement.launches if one.role in ("rollout", "decode")]
    behind = [one for one in behind if launch.stages[0] in one.stages] or behind
    found: dict[str, list[str]] = {"rollout": [], "prefill": [], "decode": []}
    for seat in _seats(placement.engine_groups(), behind[0], on_a_node) if behind else ():
        url = f"http://{{node_{seat.nodes[0]}}}:{seat.port}"
        bootstrap = f" {seat.port + behind[0].ports - 1}" if seat.group.role == "prefill" else ""
        found[seat.group.role].append(url + bootstrap)
    return {
        "port": str(launch.first_port),
        "second_port": str(launch.first_port + 1),
        "engines": " ".join(found["rollout"]),
        "prefills": "\n".join(found["prefill"]),
        "decodes": "\n".join(found["decode"]),
    }


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a word, or the value of a variable, for one process; what is not among the values stays in braces."""
    if "{" in text:
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
    return text


def words_of(launch: RoleLaunch, process: Process) -> tuple[str, ...]:
    """Return the command line of a process."""
    words = launch.words if process.is_first else (*launch.words, *launch.follower_words)
    found: list[str] = []
    for word in words:
        if word == "{engines}":
            found += process.values["engines"].split()
        elif word in ("{prefills}", "{decodes}"):
            option = found.pop()
            for one in process.values[word[1:-1]].split("\n"):
                found += (option, *one.split())
        else:
            found.append(filled(word, process.values))
    return tuple(found)


class Coordinates(NamedTuple):
    """Where a trainer's process stands on each axis; `ep` and `edp` are those of experts."""

    tp: int
    cp: int
    dp: int
    pp: int
    etp: int
    ep: int
    edp: int


def coordinates(parallel: Parallel[Any], rank: int) -> Coordinates:
    """Return the place of a rank: tp runs fastest, then cp, dp and pp; within a stage etp, ep and edp for experts."""
    rest, tp = divmod(rank, parallel.tp)
    rest, cp = divmod(rest, parallel.cp)
    pp, dp = divmod(rest, parallel.dp)
    within = rank % (parallel.tp * parallel.cp * parallel.dp)
    rest, etp = divmod(within, parallel.etp)
    edp, ep = divmod(rest, parallel.ep)
    return Coordinates(tp, cp, dp, pp, etp, ep, edp)
