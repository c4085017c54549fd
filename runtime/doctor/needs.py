"""What a plan asks of one machine, and what was found there: records that travel between machines as JSON would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class PortNeed(NamedTuple):
    """A port that a process of the plan listens on, and which process that is."""

    port: int
    process: str


class PackageNeed(NamedTuple):
    """A package that is imported there; `version` is empty where any will do."""

    name: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeNeeds:
    """What is asked of machine `node`.

    Args:
        gpus: how many; 0 where the target has none.
        gpu: their name in stdlib/hardware, and `gpu_gib` the memory of each.
        vendor: whose tool lists them.
        host_gib: memory of the machine that its processes take together.
        shm_gib: what one process takes of /dev/shm.
        disk_gib: what one checkpoint takes where the run is kept.
    """

    node: int
    gpus: int = 0
    gpu: str = ""
    gpu_gib: float = 0.0
    vendor: Literal["", "nvidia", "amd"] = ""
    host_gib: float = 0.0
    shm_gib: float = 0.0
    disk_gib: float = 0.0
    ports: tuple[PortNeed, ...] = ()
    packages: tuple[PackageNeed, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedFiles:
    """What every machine has to see.

    Args:
        reads: files and folders that the plan names, absolute.
        run_dir: where the run is kept.
        beacon: a file that the first machine wrote there, and its text; empty where there is one machine.
    """

    reads: tuple[str, ...]
    run_dir: str
    beacon: tuple[str, str] = ("", "")


class Finding(NamedTuple):
    """One thing that was looked at on a machine.

    `state` is `fine`, `short` (the plan cannot run), or `unsure` (it may). `way` says what helps.
    """

    node: int
    what: str
    state: Literal["fine", "short", "unsure"]
    told: str
    way: str = ""
