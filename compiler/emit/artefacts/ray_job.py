"""Ray job: scripts that start Ray on your machines with a token, and one that submits the plan to it.

For machines without a scheduler.  The dashboard, which takes jobs, listens on loopback of the head alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.emit.artefacts._job import Job, needs_ray
from compiler.emit.artefacts._ray import RAY_PORTS, object_store_bytes
from compiler.emit.artefacts._rendering import EmittedFile, rendered


def emit(job: Job) -> Iterator[EmittedFile]:
    """Yield what is started on each machine, what is submitted, and what the job then runs."""
    needs_ray(job, "ray_job")
    variables = {variable.name: variable.value for variable in job.plan.experiment.cluster.environment}
    yield rendered(job, "start_ray.sh", ports=RAY_PORTS, store=object_store_bytes(job))
    yield rendered(job, "submit.sh")
    yield rendered(job, "runtime_env.yaml", documents=[{"env_vars": variables}])
    yield rendered(job, "run.sh")
