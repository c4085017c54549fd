"""Slurm: a batch script, one task on each machine; out of time it saves a checkpoint and goes on later.

The head of Ray and the driver are on the first machine; the exit code of the job is that of `rlc run`.  A job that is
told that its time is up ends with a checkpoint and puts itself into the queue again; the same run directory goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.emit.artefacts._job import GIB, Job
from compiler.emit.artefacts._ray import RAY_PORTS, object_store_bytes
from compiler.emit.artefacts._rendering import EmittedFile, rendered
from compiler.ir.openness import Off


def emit(job: Job) -> Iterator[EmittedFile]:
    """Yield the batch script and what it runs on each machine."""
    slurm = job.launch.slurm
    limit = job.launch.time_limit_s
    yield rendered(
        job,
        "job.sbatch",
        slurm=slurm,
        image="" if slurm.container == "none" else _image(job.image("slurm"), slurm.container),
        mounts=",".join(f"{path}:{path}" for path in job.mounts),
        time_limit="" if isinstance(limit, Off) else _days_and_hours(limit),
        memory=_memory(job),
        grace_s=int(slurm.grace_s),
    )
    yield rendered(job, "node.sh", ports=RAY_PORTS, store=object_store_bytes(job))


def _image(name: str, container: str) -> str:
    """An image as pyxis or Apptainer names it: the registry of a first part with a dot or a port; a path stays one."""
    if name.startswith("/"):
        return name
    if container == "apptainer":
        return f"docker://{name}"
    first, _, rest = name.partition("/")
    return f"{first}#{rest}" if rest and set(first) & set(".:") else name


def _memory(job: Job) -> str:
    """Memory as Slurm takes it: 0 is all of a machine, and nothing leaves it to the cluster."""
    asked = job.launch.memory_per_node
    if isinstance(asked, Off):
        return "0" if job.gpus else ""
    return f"{asked * 1024 // GIB}M"


def _days_and_hours(seconds: float) -> str:
    """A time as Slurm takes it: `1-02:30:00`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
