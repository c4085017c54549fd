"""A plan on its way to a cluster: the facts of the plan, of [launch] and of the target that launchers need.

What is here of the plan is what a machine has to have before `rlc run` begins; all else the runtime reads from
plan.json, which goes along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.catalogue import Container
from compiler.ir.cluster_launch import ClusterLaunch, default_launch, launch_faults
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.ir.subject import toml_literal

GIB = 2**30
_HASH_DIGITS = 12
_LONGEST_SLUG = 30


class Variable(NamedTuple):
    """One variable of the environment."""

    name: str
    value: str


class Job(NamedTuple):
    """A plan with the way to a cluster."""

    plan: Plan
    launch: ClusterLaunch
    container: Container

    @property
    def target(self) -> str:
        """The kind of machine."""
        return self.plan.experiment.cluster.target

    @property
    def short_hash(self) -> str:
        """The first digits of the plan's hash."""
        return self.plan.hash[:_HASH_DIGITS]

    @property
    def slug(self) -> str:
        """The experiment's name in small letters, digits and -, and digits of the hash, so that it is unique."""
        letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.plan.experiment.name.lower())
        words = [word for word in letters.split("-") if word]
        name = "-".join(words)[:_LONGEST_SLUG].strip("-")
        return f"{name or 'rlc'}-{self.plan.hash[:8]}" if name[:1].isalpha() else f"rlc-{self.plan.hash[:8]}"

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.plan.experiment.cluster.nodes

    @property
    def gpus(self) -> int:
        """GPUs of one machine; 0 on a target without."""
        named = gpus_per_node(self.plan.experiment.cluster.gpus_per_node)
        return named.count if named is not None else 0

    @property
    def has_ray(self) -> bool:
        """Whether Ray carries the actors."""
        return self.plan.experiment.run.executor == "ray"

    @property
    def environment(self) -> tuple[Variable, ...]:
        """What every process finds in its environment, with what Ray is told."""
        of_plan = (Variable(one.name, one.value) for one in self.plan.experiment.cluster.environment)
        of_ray = (Variable("RAY_USAGE_STATS_ENABLED", "0"), Variable("RAY_AUTH_MODE", "token")) if self.has_ray else ()
        return (*of_plan, *of_ray)

    @property
    def cpus(self) -> int | Off:
        """Processors of one machine; off for all of them."""
        asked = self.launch.cpus_per_node
        return self.plan.experiment.cluster.cpu_threads if isinstance(asked, Off) and not self.gpus else asked

    @property
    def root(self) -> str:
        """The folder that paths of the plan are relative to."""
        root = self.launch.root
        return self.launch.shared_dir if isinstance(root, Off) else root

    @property
    def run_dir(self) -> str:
        """Where the run is kept."""
        return f"{self.launch.shared_dir.rstrip('/')}/runs/{self.plan.experiment.name}"

    @property
    def mounts(self) -> tuple[str, ...]:
        """Folders that a container sees under the path that they have outside."""
        return tuple(dict.fromkeys((self.launch.shared_dir, self.root, *self.launch.mounts)))

    @property
    def shm_bytes(self) -> int:
        """Shared memory of one container."""
        asked = self.launch.shm
        return self.container.shm_gib * GIB if isinstance(asked, Off) else asked

    @property
    def base_image(self) -> str:
        """The image that one for this plan is built on: that of the engine that generates."""
        sampling = (stage.rollout for stage in self.plan.experiment.stages)
        engines = [rollout.engine.name for rollout in sampling if not isinstance(rollout, Off)]
        gpu = self.plan.experiment.cluster.gpu
        return self.container.base_image(engines[0] if engines else "", gpu if isinstance(gpu, str) else "")

    @property
    def install(self) -> tuple[str, ...]:
        """What pip is given: that of the target, and the router that the plan starts, in the version of its words."""
        placement = self.plan.experiment.placement
        launches = placement.launches if isinstance(placement, GpuPlacement) else ()
        routers = (f"{one.engine.replace('_', '-')}=={one.version}" for one in launches if one.role == "router")
        return (*self.container.install, *dict.fromkeys(routers))

    def image(self, artefact: str) -> str:
        """Return the image.  Raises: SpecError RLC0803 if nobody names it."""
        found = self.launch.image
        if isinstance(found, str):
            return found
        literal = toml_literal(f"registry.example.com/rlc-{self.target}:1")
        ways = (
            Help(f"set launch.image = {literal}, with a name of your own", (("launch.image", literal),)),
            Help("rlc emit docker SPEC writes the file that it is built from"),
        )
        message = f"launch.image is off, and {artefact} starts a container"
        raise SpecError(Diagnostic("RLC0803", message, help=ways, paths=("launch.image",)))


def job_of(plan: Plan, container: Container) -> Job:
    """Return a plan with the way to a cluster.

    Raises: SpecError RLC0800 for what cannot be written down, RLC0802 if the plan's executor does not reach its GPUs.
    """
    launch = plan.experiment.launch
    job = Job(plan, default_launch() if isinstance(launch, Off) else launch, container)
    faults = [*_unwritable(job.launch), *_executor_fault(job)]
    if faults:
        raise SpecError(*faults)
    return job


def needs_ray(job: Job, artefact: str) -> None:
    """Raise SpecError RLC0802 for a plan that Ray does not carry."""
    if not job.has_ray:
        raise SpecError(_not_ray(f"{artefact} starts Ray, and run.executor is {job.plan.experiment.run.executor}"))


def _unwritable(launch: ClusterLaunch) -> Iterator[Diagnostic]:
    for fault in launch_faults(launch):
        yield Diagnostic("RLC0800", fault.message, help=(Help(f"write {fault.wanted}"),), paths=(fault.path,))


def _executor_fault(job: Job) -> Iterator[Diagnostic]:
    num_gpus = job.nodes * job.gpus
    if not job.has_ray and max(job.nodes, num_gpus) > 1:
        machines = "one machine" if job.nodes == 1 else f"{job.nodes} machines"
        what = f"{num_gpus} GPUs of {machines}" if job.gpus else machines
        yield _not_ray(f"run.executor is {job.plan.experiment.run.executor}: one process does not reach {what}")


def _not_ray(message: str) -> Diagnostic:
    way = Help('set run.executor = "ray"', (("run.executor", '"ray"'),))
    return Diagnostic("RLC0802", message, help=(way,), paths=("run.executor",))
