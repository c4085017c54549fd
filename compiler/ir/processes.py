"""What stands in braces in a launch, for every process of a role.

    {port} {second_port} {third_port}   of its engine, counted on the machine on which the engine begins
    {first_gpu} {gpus}                  its GPUs on its machine: the lowest one, and all of them with commas
    {node_rank}                         its machine among those of its engine
    {seed}                              run.seed plus the number of its engine, in 31 bits
    {rank} {local_rank} {world_size}    of a trainer's process
    {address} {first_address}           of its machine, and of the machine on which its engine begins
    {token}                             the secret that requests carry; these three are known when a run begins
    {plan} {stage}                      the file of the plan, and the name of the stage, of a server of rlc itself

A role has one record however many processes it has, so a plan of ten thousand GPUs is read as one of eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel, RoleLaunch

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
    if launch.role == "rollout":
        yield from _engine_processes(placement, launch, on_a_node, experiment.run.seed)
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


def _engine_processes(placement: GpuPlacement[Any], launch: RoleLaunch, on_a_node: int, seed: int) -> Iterator[Process]:
    each, first = placement.gpus_per_engine, placement.train_gpus if placement.mode == "split" else 0
    begun: dict[int, int] = {}
    for engine in range(placement.rollout_gpus // each):
        gpus = range(first + engine * each, first + (engine + 1) * each)
        host, last = gpus[0] // on_a_node, gpus[-1] // on_a_node
        port = launch.first_port + launch.ports * begun.get(host, 0)
        begun[host] = begun.get(host, 0) + 1
        for node in range(host, last + 1):
            local = [gpu % on_a_node for gpu in gpus if gpu // on_a_node == node]
            values = {
                "port": str(port),
                "second_port": str(port + 1),
                "third_port": str(port + 2),
                "first_gpu": str(local[0]),
                "gpus": ",".join(map(str, local)),
                "node_rank": str(node - host),
                "seed": str((seed + engine) % _SEEDS),
            }
            yield Process(engine, node, host, values)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a word, or the value of a variable, for one process; what is not among the values stays in braces."""
    if "{" in text:
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
    return text


def words_of(launch: RoleLaunch, process: Process) -> tuple[str, ...]:
    """Return the command line of a process."""
    words = launch.words if process.is_first else (*launch.words, *launch.follower_words)
    return tuple(filled(word, process.values) for word in words)


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
