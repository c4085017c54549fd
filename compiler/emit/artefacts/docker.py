"""Docker: the file that an image is built from, and a script that runs the plan in it on one machine.

The image holds rlc and what it needs, and no plan: one for each kind of machine.  It is built in a checkout of rlc.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.emit.artefacts._job import Job
from compiler.emit.artefacts._rendering import EmittedFile, rendered
from compiler.ir.openness import Off


def emit(job: Job) -> Iterator[EmittedFile]:
    """Yield the Dockerfile, what of the checkout it sees, and for a plan of one machine how to run it."""
    container, image = job.container, job.launch.image
    template = "engine.dockerfile" if container.keeps_base else "python.dockerfile"
    yield rendered(job, template, "Dockerfile")
    yield rendered(job, "Dockerfile.dockerignore")
    if job.nodes == 1:
        memory = job.launch.memory_per_node
        yield rendered(
            job,
            "docker_run.sh",
            image=f"rlc-{job.target}" if isinstance(image, Off) else image,
            memory=0 if isinstance(memory, Off) else memory,
        )
