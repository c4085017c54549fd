"""[launch]: what a cluster asks of whoever brings a plan to it.  Read by `rlc emit` alone, and never part of the hash.

Nothing here decides results, so one plan goes to several clusters.  What these texts may hold is said here as well: a
plan can be edited by hand, and its hash would not tell, so they are looked at when a spec is compiled and again when
something is written from them.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.json_text import json_string
from compiler.ir.kinds import Bytes, Seconds
from compiler.ir.openness import OFF, Off
from compiler.ir.record import Record, setting

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_WORD = frozenset(_LETTERS + _LETTERS.upper() + _DIGITS + "_")
_NAME = _WORD | frozenset("-.")
_LISTED_NAME = _NAME | frozenset(",")
_KEY = _NAME | frozenset("/")
_LABEL = _KEY | frozenset("=")
_IMAGE = _KEY | frozenset(":@+")
_CLUSTER_NAME = frozenset(_LETTERS + _DIGITS + "-.")


class Slurm(Record):
    """[launch.slurm]: what `rlc emit slurm` writes for Slurm."""

    partition: str | Off = setting("The partition, or several with commas between.", default=OFF, in_hash=False)
    account: str | Off = setting("The account that pays.", default=OFF, in_hash=False)
    qos: str | Off = setting("The quality of service.", default=OFF, in_hash=False)
    container: Literal["pyxis", "apptainer", "none"] = setting(
        "What starts the image: pyxis with enroot, Apptainer, or nothing, where rlc is installed on the machines.",
        default="pyxis",
        in_hash=False,
    )
    grace_s: Seconds = setting(
        "How long before its time limit a job is told to save a checkpoint and is put into the queue again.",
        default=300.0,
        unit="seconds",
        ge=1,
        in_hash=False,
    )
    max_requeues: int = setting(
        "How often a job that ran into its time limit is put into the queue again.", default=100, ge=0, in_hash=False
    )


class Kubernetes(Record):
    """[launch.kubernetes]: what `rlc emit kubernetes` writes for Kubernetes."""

    namespace: str = setting("The namespace.", default="default", in_hash=False)
    claim: str = setting(
        "The volume claim that holds the shared folder; every pod mounts it, so it is one of many writers.",
        default="shared",
        in_hash=False,
    )
    secret: str = setting("The Secret that holds the variables of launch.secrets.", default="rlc", in_hash=False)
    pull_secret: str | Off = setting("The Secret that opens the registry of the image.", default=OFF, in_hash=False)
    service_account: str | Off = setting("The service account of the pods.", default=OFF, in_hash=False)
    node_selector: tuple[str, ...] = setting(
        "Labels that a machine has to carry, each as `key=value`.", default=(), in_hash=False
    )
    tolerations: tuple[str, ...] = setting(
        "Taints that are tolerated, beside that of the GPUs, each by its key.", default=(), in_hash=False
    )
    ttl_s: int = setting(
        "How long the pods are kept after the end, for those who read their logs.",
        default=3600,
        unit="seconds",
        ge=0,
        in_hash=False,
    )
    retries: int = setting(
        "How often a job that fails begins anew, from its last checkpoint.", default=2, ge=0, le=100, in_hash=False
    )


class ClusterLaunch(Record):
    """[launch]: how a plan is brought to a cluster; read by `rlc emit` alone."""

    image: str | Off = setting(
        "The container image, as a registry names it; `rlc emit docker` writes the file that it is built from.",
        default=OFF,
        in_hash=False,
    )
    shared_dir: str = setting(
        "A folder that every machine sees under this path; a run is kept in runs/NAME below it.",
        default="/shared",
        in_hash=False,
    )
    root: str | Off = setting(
        "The folder that the paths of the plan are relative to; off: the shared folder.", default=OFF, in_hash=False
    )
    mounts: tuple[str, ...] = setting(
        "Further folders of a machine that its container sees, under the same paths.", default=(), in_hash=False
    )
    secrets: tuple[str, ...] = setting(
        "Variables of the environment that are handed on, by name; what they hold is never written down.",
        default=(),
        in_hash=False,
    )
    time_limit_s: Seconds | Off = setting(
        "The longest time of one job; off: that of the cluster.", default=OFF, unit="seconds", ge=60, in_hash=False
    )
    cpus_per_node: int | Off = setting(
        "Processors of a machine that are asked for; off: all of one with GPUs, and cluster.cpu_threads without.",
        default=OFF,
        unit="processors",
        ge=1,
        in_hash=False,
    )
    memory_per_node: Bytes | Off = setting(
        "Memory of a machine that is asked for; off: all of one with GPUs, and no bound without.",
        default=OFF,
        unit="bytes",
        ge=2**20,
        in_hash=False,
    )
    shm: Bytes | Off = setting(
        "Shared memory of a container; off: what the target needs.", default=OFF, unit="bytes", ge=2**20, in_hash=False
    )
    slurm: Slurm = setting("What is for Slurm alone.", in_hash=False)
    kubernetes: Kubernetes = setting("What is for Kubernetes alone.", in_hash=False)


class LaunchFault(NamedTuple):
    """Something that cannot be written into an artefact: its path, what is wrong, and what to write instead."""

    path: str
    message: str
    wanted: str


def default_launch() -> ClusterLaunch:
    """Return [launch] as it is where nobody writes one."""
    return ClusterLaunch(slurm=Slurm(), kubernetes=Kubernetes())


def launch_faults(launch: ClusterLaunch) -> Iterator[LaunchFault]:
    """Yield what a directive of Slurm, a name of Kubernetes, a mount or a variable cannot hold."""
    yield from (_unwritable(*found) for found in _unwritable_texts(launch))
    limit, grace = launch.time_limit_s, launch.slurm.grace_s
    if not isinstance(limit, Off) and grace >= limit:
        message = f"launch.slurm.grace_s = {grace:g} is no time before launch.time_limit_s = {limit:g} is over"
        yield LaunchFault("launch.time_limit_s", message, f"a time of more than {grace:g} s, or a shorter grace")


def _unwritable_texts(launch: ClusterLaunch) -> Iterator[tuple[str, str, str]]:
    """Yield the field, the text, and what it has to be."""
    slurm, kubernetes = launch.slurm, launch.kubernetes
    paths = (("shared_dir", launch.shared_dir), ("root", launch.root), *(("mounts", path) for path in launch.mounts))
    for field, path in paths:
        if isinstance(path, str) and not _is_mountable(path):
            yield field, path, "an absolute path without `..`, colons, commas or control characters"
    if isinstance(launch.image, str) and not _is_image(launch.image):
        yield "image", launch.image, "letters, digits and ._-/:@+, as a registry names an image"
    for name in launch.secrets:
        if not name or name[0] in _DIGITS or not _WORD.issuperset(name):
            yield "secrets", name, "the name of a variable: letters, digits and _"
    for field in ("partition", "account", "qos"):
        value = getattr(slurm, field)
        if isinstance(value, str) and not _fits(value, _LISTED_NAME):
            yield f"slurm.{field}", value, "letters, digits, dots, commas, - and _"
    for field in ("namespace", "claim", "secret", "pull_secret", "service_account"):
        value = getattr(kubernetes, field)
        if isinstance(value, str) and not _is_cluster_name(value):
            yield f"kubernetes.{field}", value, "small letters, digits, dots and -, at most 63 of them"
    for key in kubernetes.tolerations:
        if not _fits(key, _KEY):
            yield "kubernetes.tolerations", key, "the key of a taint, such as `example.com/batch`"
    for label in kubernetes.node_selector:
        if label.count("=") != 1 or label.startswith("=") or not _fits(label, _LABEL):
            yield "kubernetes.node_selector", label, "a label as `key=value`"


def _unwritable(field: str, text: str, wanted: str) -> LaunchFault:
    message = f"launch.{field} has {json_string(text)}, which cannot be written into an artefact"
    return LaunchFault(f"launch.{field}", message, wanted)


def _fits(text: str, letters: frozenset[str]) -> bool:
    return bool(text) and letters.issuperset(text) and not text.startswith("-")


def _is_image(text: str) -> bool:
    return _fits(text, _IMAGE) and len(text) <= 255


def _is_cluster_name(text: str) -> bool:
    return 0 < len(text) <= 63 and _CLUSTER_NAME.issuperset(text) and text[0] not in "-." and text[-1] not in "-."


def _is_mountable(path: str) -> bool:
    return path.startswith("/") and ".." not in path.split("/") and path.isprintable() and not set(path) & set(":,")
