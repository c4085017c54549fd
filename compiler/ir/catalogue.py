"""What the compiler is told of the standard library and the targets, without importing them.

`rlc` scans the folders and hands a Catalogue to `compile()`; only the chosen algorithm's module is ever loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.algorithm import AlgorithmParams
from compiler.ir.experiment import Experiment
from compiler.ir.machine import Cluster, EnvironmentVariable, RoleLaunch
from compiler.ir.openness import Auto
from compiler.ir.options import EngineSchema

AlgorithmKind = Literal["policy", "distillation", "supervised", "preference", "reward"]


class AlgorithmEntry(NamedTuple):
    """An algorithm: what it reads, and whether it samples."""

    name: str
    kind: AlgorithmKind
    params: type[AlgorithmParams[Auto]]
    summary: str


class Gpu(NamedTuple):
    """A GPU of stdlib/hardware: memory in GiB, rates as their publishers give them, zero where nobody does.

    `scaleup_gpus` are reached at `scaleup_gb_per_s` in each direction, others through a network card.
    """

    name: str
    vendor: str
    memory_gib: float
    memory_tb_per_s: float
    bf16_tflops: float
    fp8_tflops: float
    fp4_tflops: float
    scaleup_gb_per_s: float
    scaleup_gpus: int
    gpus_per_node: int
    nic_gbit_per_s: float
    source: str


class Limit(NamedTuple):
    """Something that an engine does not do together with something else: `when` are settings, all of which hold."""

    when: tuple[tuple[str, object], ...]
    verdict: Literal["forbidden", "ignored", "unproven"]
    why: str
    source: str


class Advisory(NamedTuple):
    """A known fault of an engine: `versions` are bounds such as `>=0.24, <0.26`, or nothing for all that are known.

    A fault that `fails` does so every time; one that `may_fail` was seen, and need not show up.
    """

    engine: str
    versions: str
    when: tuple[tuple[str, object], ...]
    verdict: Literal["fails", "may_fail"]
    why: str
    source: str


class ContainerImage(NamedTuple):
    """An image to build on, for an engine and GPUs whose names begin so; nothing stands for all of them."""

    engine: str
    gpu: str
    image: str
    source: str


class Container(NamedTuple):
    """How what runs on a target is put into a container: targets/NAME/container.toml.

    `install` is what pip is given in a checkout; with `keeps_base` it changes nothing of what the image brings.
    `gpu_resource` is Kubernetes' name of a GPU; the flags hand GPUs to a container; `groups` may open their devices.
    """

    images: tuple[ContainerImage, ...]
    python: str
    install: tuple[str, ...]
    keeps_base: bool
    ray_version: str
    gpu_resource: str
    docker_flags: tuple[str, ...]
    apptainer_flags: tuple[str, ...]
    groups: tuple[int, ...]
    ipc: Literal["private", "host"]
    shm_gib: int

    def base_image(self, engine: str, gpu: str) -> str:
        """Return the image that an engine is built on for a GPU; without an engine, the first one for that GPU."""
        fitting = (one for one in self.images if one.engine in ("", engine) or not engine)
        return next(one.image for one in fitting if gpu.startswith(one.gpu))


class LoweredLaunch(NamedTuple):
    """How the processes of one role are started, and the paths that each part of it follows from."""

    launch: RoleLaunch
    inputs: Mapping[str, tuple[str, ...]]


class TargetEntry(NamedTuple):
    """A kind of machine; `vendor` is whose GPUs it has, or nothing; `versions` pins the engines that are not rlc's.

    `executors` is what a run can do there today; a plan may ask for more, and `rlc run` then says what is missing.
    `takes_turns` says whether one process carries out a loop that does not wait, so that no side of it needs devices of
    its own.
    `facts` are those of a model of which its engines compute only some values; what is not listed is free.
    `replays_routing` are the engines that return the experts of a token, or train with experts that are given;
    `copies_heads` those that copy a key and value head to several GPUs where there are more GPUs than such heads.
    `no_reward_models` are families of which no reward could read a trained reward model, `mtp_families` those whose
    layers for further tokens are trained; `routed` are engines that can stand behind `router`, work in pairs
    of which one reads prompts and the other generates, and serve a judge.  `launches` says how processes of engines are
    started, where any are.
    """

    name: str
    device: str
    devices_per_node: int
    rollout_engines: tuple[str, ...]
    train_engines: tuple[str, ...]
    families: tuple[str, ...]
    executors: tuple[str, ...]
    environment: Callable[[Cluster[Auto]], tuple[EnvironmentVariable, ...]]
    vendor: str = ""
    limits: tuple[Limit, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, tuple[object, ...]], ...] = ()
    replays_routing: tuple[str, ...] = ()
    copies_heads: tuple[str, ...] = ()
    no_reward_models: tuple[str, ...] = ()
    mtp_families: tuple[str, ...] = ()
    takes_turns: bool = False
    routed: tuple[str, ...] = ()
    router: str = ""
    router_version: str = ""
    launches: Callable[[Experiment[Auto]], tuple[LoweredLaunch, ...]] | None = None

    def version_of(self, engine: str) -> str | None:
        """Return the version that an engine is pinned to; None for one that comes with rlc."""
        return dict(self.versions).get(engine)


def _no_engine(pinned: str) -> EngineSchema:
    raise KeyError(pinned)


def _no_names(_: str) -> tuple[str, ...]:
    return ()


class Catalogue(NamedTuple):
    """Names that an experiment may use, and how to load what they stand for.

    `cache` is a folder for what the front end makes of texts; without one it keeps nothing between runs.  `policies`
    are files that every plan must satisfy, beside those that its root names.  `known_engines` are the versions of
    which it is known what they take, and `lowered_to` the settings of an engine that plans are lowered to.
    """

    stdlib: Path
    algorithms: tuple[str, ...]
    rewards: tuple[str, ...]
    targets: tuple[str, ...]
    load_algorithm: Callable[[str], AlgorithmEntry]
    load_target: Callable[[str], TargetEntry]
    cache: Path | None = None
    filters: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tool_parsers: tuple[str, ...] = ()
    policies: tuple[Path, ...] = ()
    load_hardware: Callable[[], dict[str, Gpu]] = dict
    load_advisories: Callable[[], tuple[Advisory, ...]] = tuple
    load_engine: Callable[[str], EngineSchema] = _no_engine
    known_engines: Callable[[], tuple[str, ...]] = tuple
    lowered_to: Callable[[str], tuple[str, ...]] = _no_names

    def params_of(self, name: str) -> type[AlgorithmParams[Auto]]:
        """Return the Params record of an algorithm.  Raises: ValueError if there is no such algorithm."""
        if name not in self.algorithms:
            raise ValueError(f"there is no algorithm {name}")
        return self.load_algorithm(name).params
