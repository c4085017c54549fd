"""What a plan takes of every machine: GPUs, processors and ports of each process, and how bundles of them are spread.

All of it follows from the placement by arithmetic, so no plan holds it and no hash covers it.  A scheduler makes one
bundle of each machine, or one of each process, and gives machines their numbers: those that `Process.node` has.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any, Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement
from compiler.ir.processes import processes

Strategy = Literal["PACK", "STRICT_SPREAD"]

_OF_TRAINER = ("critic", "teacher")  # they are in the processes of the trainer
_DRIVER_CPUS = 1


class Seat(NamedTuple):
    """What one process takes: its GPUs by their numbers on its machine, processors, and the ports that are kept."""

    role: str
    engine: int
    gpus: tuple[int, ...]
    cpus: int
    ports: range


class Bundle(NamedTuple):
    """What a plan takes of one machine; GPUs that both sides share are counted once."""

    node: int
    gpus: int
    cpus: int
    seats: tuple[Seat, ...]

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that a process of this machine may use, in order."""
        return tuple(sorted({port for seat in self.seats for port in seat.ports}))


class Bundles(NamedTuple):
    """The bundles of all machines in order.

    With STRICT_SPREAD no two of them may share a machine: each counts GPUs and ports from the same numbers on, and the
    machines of an engine that spans several are those that follow each other.  A single one needs no such word.
    """

    strategy: Strategy
    bundles: tuple[Bundle, ...]


def bundles_of(experiment: Experiment[Any]) -> Bundles:
    """Return what every machine of a plan gives; a machine on which nothing runs gives nothing, and is not left out.

    Stages follow each other on the same GPUs and ports, so of the launches of one role the one with most counts.
    """
    seats: list[list[Seat]] = [[] for _ in range(experiment.cluster.nodes)]
    placement = experiment.placement
    seats[0].append(Seat("driver", 0, (), _DRIVER_CPUS, range(0)))
    if isinstance(placement, GpuPlacement):
        for node, seat in _seats(experiment, placement):
            seats[node].append(seat)
    found = tuple(_bundle(node, tuple(there)) for node, there in enumerate(seats))
    return Bundles("STRICT_SPREAD" if len(found) > 1 else "PACK", found)


def _seats(experiment: Experiment[Any], placement: GpuPlacement[Any]) -> list[tuple[int, Seat]]:
    found: dict[tuple[str, int, int, tuple[int, ...]], Seat] = {}
    for launch in placement.launches:
        if launch.role in _OF_TRAINER:
            continue
        for process in processes(experiment, launch):
            gpus = tuple(map(int, process.values["gpus"].split(","))) if "gpus" in process.values else ()
            # Of a trainer's processes the first one's port is that of all.
            listens = launch.role != "trainer" or process.values["rank"] == "0"
            port = int(process.values["port"])
            ports = range(port, port + launch.ports) if listens else range(0)
            cpus = launch.cpus + launch.cpus_per_gpu * len(gpus)
            key = launch.role, process.node, process.engine, gpus
            before = found.get(key)
            cpus = cpus if before is None else max(cpus, before.cpus)
            ports = ports if before is None or len(ports) > len(before.ports) else before.ports
            found[key] = Seat(launch.role, process.engine, gpus, cpus, ports)
    return [(key[1], seat) for key, seat in found.items()]


def _bundle(node: int, seats: tuple[Seat, ...]) -> Bundle:
    gpus = {gpu for seat in seats for gpu in seat.gpus}
    return Bundle(node, len(gpus), sum(seat.cpus for seat in seats), seats)
