"""`rlc doctor`: what a plan asks of machines, what they have, and what to do about the difference.

What is asked is arithmetic on the plan and the planner's model of memory; nothing is loaded for it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.bundles import bundles_of
from compiler.ir.catalogue import Gpu
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.paths import fields_on_the_way, leaves
from compiler.ir.plan import Plan
from compiler.ir.processes import processes
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.phases import HOST, phases_of
from rlc.catalogue import scan
from rlc.running import Job
from runtime import environ
from runtime.doctor.examine import examine
from runtime.doctor.needs import Finding, NodeNeeds, PackageNeed, PortNeed, SharedFiles
from runtime.executors.ray_doctor import examine_cluster

_CODES = {
    "GPUs": ("RLC0790", "cluster.gpus_per_node"),
    "host memory": ("RLC0791", "cluster.nodes"),
    "/dev/shm": ("RLC0791", "cluster.nodes"),
    "ports": ("RLC0792", "placement"),
    "packages": ("RLC0793", "cluster.target"),
    "files": ("RLC0794", "model.weights"),
    "run directory": ("RLC0794", "checkpoint"),
    "disk": ("RLC0795", "checkpoint.interval"),
    "versions": ("RLC0793", "run.executor"),
    "machines": ("RLC0796", "cluster.nodes"),
    "network": ("RLC0796", "cluster.nodes"),
    "collectives": ("RLC0796", "cluster.nodes"),
}
_PACKAGES = {"megatron": "megatron-core", "fsdp2": "torch"}
_RUNTIME = ("torch", "transformers", "safetensors")
_ANSWER_S = 120.0  # a machine that is asked for the first time imports rlc and Ray
_LIBRARY_GIB = 0.5  # an interpreter with torch and what else is imported


class Examined(NamedTuple):
    """What was found on all machines, as a table for a person, and as diagnostics for what is short."""

    rows: tuple[tuple[str, ...], ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def can_run(self) -> bool:
        """Whether nothing is short."""
        return all(d.severity != "error" for d in self.diagnostics)


def doctor(job: Job) -> Examined:
    """Examine the machines that a plan would run on: those of the Ray cluster that is given, or this one.

    Raises: SpecError RLC0760 if the cluster cannot be joined.
    """
    needs, experiment = needs_of(job.plan), job.plan.experiment
    is_for_ray = experiment.run.executor == "ray" or isinstance(experiment.placement, GpuPlacement)
    address = environ.secret("RAY_ADDRESS") if is_for_ray else ""
    with _shared_files(job, is_alone=not address) as files:
        if address:
            found = examine_cluster(address, needs, files, asked=_asked(job.plan), patience_s=_ANSWER_S)
        else:
            found = [*_unseen(needs), *examine(needs[0], files)]
    return Examined(tuple(_rows(found)), tuple(_diagnostics(found)))


def _asked(plan: Plan) -> dict[str, int]:
    """What a machine of the plan takes of Ray; those with less of one role take the largest, as one is any other."""
    bundles = bundles_of(plan.experiment).bundles
    return {"CPU": max(bundle.cpus for bundle in bundles), "GPU": max(bundle.gpus for bundle in bundles)}


def _unseen(needs: Sequence[NodeNeeds]) -> Iterator[Finding]:
    """Of a plan whose GPUs are made by somebody, all machines but this one; those of processes are all here."""
    if len(needs) > 1 and needs[0].vendor:
        told = f"{len(needs)} are planned, and this one alone was looked at"
        yield Finding(0, "machines", "unsure", told, "set RAY_ADDRESS to the cluster: all of it is looked at then")


def needs_of(plan: Plan) -> list[NodeNeeds]:
    """Return what is asked of each machine, machine 0 first, which is where `rlc run` is started."""
    cluster = plan.experiment.cluster
    catalogue = scan()
    gpu = None if isinstance(cluster.gpu, Off) else catalogue.load_hardware().get(cluster.gpu)
    host, ports = _host_gib(plan, gpu), _ports(plan)
    vendor = catalogue.load_target(cluster.target).vendor if gpu is not None else ""
    return [
        NodeNeeds(
            node=node,
            gpus=cluster.num_gpus // cluster.nodes if vendor else 0,
            gpu="" if gpu is None else gpu.name,
            gpu_gib=0.0 if gpu is None else gpu.memory_gib,
            vendor=vendor if vendor in ("nvidia", "amd") else "",
            host_gib=host,
            shm_gib=_shm_gib(plan),
            disk_gib=_checkpoint_gib(plan) if node == 0 else 0.0,
            ports=tuple(ports.get(node, ())),
            packages=_packages(plan),
        )
        for node in range(cluster.nodes)
    ]


def _host_gib(plan: Plan, gpu: Gpu | None) -> float:
    if gpu is None:
        f = plan.forecast
        trained = f.weight_bytes + f.gradient_bytes + f.optimizer_bytes + f.critic_bytes
        cache = max((stage.kv_cache_bytes for stage in f.stages), default=0)
        beside = f.reference_bytes + f.teacher_bytes + f.engine_weight_bytes + cache
        return (trained + beside) / GIB + _LIBRARY_GIB
    jobs = [stage_job(plan.experiment, stage, gpu) for stage in plan.experiment.stages]
    phases = [phase for one in jobs if one is not None for phase in phases_of(one, CONSTANTS)]
    return max((phase.bytes for phase in phases if phase.device == HOST), default=0.0) / GIB


def _checkpoint_gib(plan: Plan) -> float:
    """One checkpoint: the weights and the optimizer's state, in float32."""
    forecast = plan.forecast
    return forecast.parameters * 4 * 3 / GIB


def _shm_gib(plan: Plan) -> float:
    placement = plan.experiment.placement
    launches = placement.launches if isinstance(placement, GpuPlacement) else ()
    return max((launch.shm_gib for launch in launches), default=0.0)


def _ports(plan: Plan) -> dict[int, list[PortNeed]]:
    found: dict[int, list[PortNeed]] = {}
    placement = plan.experiment.placement
    for launch in placement.launches if isinstance(placement, GpuPlacement) else ():
        for process in processes(plan.experiment, launch):
            first = int(process.values.get("port", 0))
            what = f"{launch.role} {process.engine if launch.role == 'rollout' else process.values.get('rank', '0')}"
            if first and (launch.role == "rollout" or process.values.get("rank") == "0"):
                found.setdefault(process.node, []).append(PortNeed(first, what))
    return found


def _packages(plan: Plan) -> tuple[PackageNeed, ...]:
    placement, found = plan.experiment.placement, dict.fromkeys(_RUNTIME, "")
    for launch in placement.launches if isinstance(placement, GpuPlacement) else ():
        version = "" if isinstance(launch.version, Off) else launch.version
        if version or launch.engine in _PACKAGES:
            found[_PACKAGES.get(launch.engine, launch.engine)] = version
    if plan.experiment.run.executor == "ray":
        found["ray"] = ""
    return tuple(PackageNeed(name, version) for name, version in found.items())


@contextlib.contextmanager
def _shared_files(job: Job, *, is_alone: bool) -> Iterator[SharedFiles]:
    """What every machine has to see; where there are several, a file in the run directory that they look for."""
    reads = tuple(str(job.root / path) for path in _read_paths(job))
    run_dir = job.run_dir.absolute()
    if is_alone:
        yield SharedFiles(reads=reads, run_dir=str(run_dir))
        return
    path, text = run_dir / f".doctor-{secrets.token_hex(4)}", secrets.token_hex(16)
    was_there = run_dir.exists()
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as fault:
        message = f"{run_dir} cannot be written to: {fault.strerror or fault}"
        raise SpecError(Diagnostic("RLC0795", message, help=(Help("name another --run-dir"),))) from fault
    try:
        yield SharedFiles(reads=reads, run_dir=str(run_dir), beacon=(str(path), text))
    finally:
        path.unlink(missing_ok=True)
        if not was_there:
            with contextlib.suppress(OSError):
                run_dir.rmdir()


def _read_paths(job: Job) -> Iterator[str]:
    """Yield the files and folders that the plan names and a run reads: every field that is a path."""
    seen: dict[str, None] = {}
    for path, value in leaves(job.plan.experiment):
        *_, field = fields_on_the_way(job.plan.experiment, path)
        if (
            isinstance(value, str)
            and any(atom.name == "SpecPath" for atom in field.kind.atoms)
            and value not in ("random", "off")
        ):
            seen[value] = None
    yield from seen


def _rows(found: Sequence[Finding]) -> Iterator[tuple[str, ...]]:
    yield "machine", "what", "", "found"
    for finding in found:
        yield str(finding.node), finding.what, finding.state, finding.told


def _diagnostics(found: Sequence[Finding]) -> Iterator[Diagnostic]:
    for finding in found:
        if finding.state == "fine":
            continue
        code, path = _CODES[finding.what]
        message = f"machine {finding.node}: {finding.what}: {finding.told}"
        ways = (Help(finding.way),) if finding.way else ()
        is_short = finding.state == "short"
        yield Diagnostic(code, message, help=ways, paths=(path,), severity="error" if is_short else "warning")
