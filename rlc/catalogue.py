"""The Catalogue: the standard library and the targets, found by scanning their folders.

Only names are read here; an algorithm's module is imported, and a target's data read, when an experiment names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module

from compiler.diagnostics.annotations import TYPE_CHECKING, Any
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.roots import Place
from compiler.frontend.session import Session
from compiler.frontend.value import SPEC, plain
from compiler.ir.catalogue import (
    Advisory,
    AlgorithmEntry,
    Catalogue,
    Container,
    ContainerImage,
    Gpu,
    Limit,
    LoweredLaunch,
    TargetEntry,
)
from compiler.ir.experiment import Experiment
from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto
from compiler.ir.options import EngineSchema, options_record
from rlc.environ import cache_folder

if TYPE_CHECKING:
    from targets.gpu.launches import EngineTables

Environment = Callable[[Cluster[Auto]], tuple[EnvironmentVariable, ...]]
Launches = Callable[[Experiment[Auto]], tuple[LoweredLaunch, ...]]

_PROJECT = Path(os.path.realpath(__file__)).parent.parent


def scan(policies: Sequence[Path] = ()) -> Catalogue:
    """Return what there is.

    Args:
        policies: files that every plan must satisfy, beside those that its root names.
    """
    stdlib, targets = _PROJECT / "stdlib", _PROJECT / "targets"
    return Catalogue(
        stdlib=stdlib,
        algorithms=_stems(stdlib / "algorithms"),
        rewards=_stems(stdlib / "rewards"),
        targets=tuple(sorted(name for name in os.listdir(targets) if (targets / name / "target.toml").is_file())),
        load_algorithm=load_algorithm,
        load_target=load_target,
        cache=cache_folder(),
        filters=_stems(stdlib / "filters"),
        selectors=_stems(stdlib / "selectors"),
        environments=_stems(stdlib / "environments"),
        tools=_stems(stdlib / "tools"),
        tool_parsers=_stems(stdlib / "tool_parsers"),
        load_hardware=load_hardware,
        load_advisories=load_advisories,
        load_engine=load_engine,
        known_engines=known_engines,
        lowered_to=lowered_to,
        policies=tuple(policies),
    )


@cache
def load_algorithm(name: str) -> AlgorithmEntry:
    """Return what an algorithm of stdlib/algorithms reads."""
    module = import_module(f"stdlib.algorithms.{name}")
    summary = (module.__doc__ or "").partition("\n")[0]
    return AlgorithmEntry(name, module.KIND, module.Params, summary)


@cache
def load_target(name: str) -> TargetEntry:
    """Return what a target of targets/ has, and how a plan is lowered to it."""
    data = _target_data(name)
    lowering = import_module(f"targets.{name}.lowering")
    engines, limits = data["engines"], data.get("limits", ())
    return TargetEntry(
        name=data["name"],
        device=data["device"],
        devices_per_node=data["devices_per_node"],
        rollout_engines=tuple(engines["rollout"]),
        train_engines=tuple(engines["train"]),
        families=tuple(engines["families"]),
        executors=tuple(data["executes"]["executors"]),
        takes_turns=data["executes"].get("takes_turns", False),
        environment=_with_shared(lowering.environment, data.get("environment", {})),
        vendor=data.get("vendor", ""),
        facts=tuple((path, tuple(values)) for path, values in data.get("facts", {}).items()),
        versions=tuple(engines.get("versions", {}).items()),
        replays_routing=tuple(engines.get("replays_routing", ())),
        copies_heads=tuple(engines.get("copies_heads", ())),
        no_reward_models=tuple(engines.get("no_reward_models", ())),
        mtp_families=tuple(engines.get("mtp_families", ())),
        routed=tuple(engines.get("routed", ())),
        router=engines.get("router", {}).get("name", ""),
        router_version=engines.get("router", {}).get("version", ""),
        launches=_launches(engines, data["container"]) if "container" in data else None,
        limits=tuple(Limit(tuple(row["when"].items()), row["verdict"], row["why"], row["source"]) for row in limits),
    )


@cache
def load_container(name: str) -> Container:
    """Return how what runs on a target is put into a container."""
    data = _data(_PROJECT / "targets" / name / "container.toml")
    images = tuple(ContainerImage(**row) for row in data.pop("images"))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Container(images=images, **values)


@cache
def load_hardware() -> dict[str, Gpu]:
    """Return the GPUs of stdlib/hardware by name; the name of a file is that of their vendor."""
    files = _toml_files(_PROJECT / "stdlib" / "hardware")
    return {row["name"]: Gpu(vendor=file.stem, **row) for file in files for row in _data(file)["gpu"]}


@cache
def load_engine(pinned: str) -> EngineSchema:
    """Return what an engine takes by its own names, such as `sglang-0.5.23`."""
    data = _data(_PROJECT / "targets" / "engines" / f"{pinned}.toml")
    name, role, decided = data["engine"], data["role"], data["decided"]
    what = f"what {name} {data['version']} takes by its own names, as targets/engines/{pinned}.toml lists it."
    about = f"[{role}.engine.{name}]: {what}"
    return EngineSchema(
        name=name,
        version=data["version"],
        role=role,
        options=options_record(name, about, data["options"], decided),
        decided=decided,
        source=data["source"],
    )


def known_engines() -> tuple[str, ...]:
    """Return the engines with their versions of which it is known what they take, such as `sglang-0.5.23`."""
    files = os.listdir(_PROJECT / "targets" / "engines")
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def lowered_to(engine: str) -> tuple[str, ...]:
    """Return the settings of an engine that plans are lowered to, other than arguments of functions."""
    table = _data(_PROJECT / "targets" / "launch" / f"{engine}.toml")
    held = (rules for name, rules in table.get("records", {}).items() if name.endswith("Config"))
    return tuple(dict.fromkeys(name for rules in (table.get("options", {}), *held) for name in rules))


def _launches(engines: Mapping[str, Any], container: Mapping[str, Any]) -> Launches:
    """How a target starts engines; nothing of it is loaded before a plan asks."""
    router = engines["router"]
    versions = {**engines.get("versions", {}), router["name"]: router["version"]}

    def launches(experiment: Experiment[Auto]) -> tuple[LoweredLaunch, ...]:
        from targets.gpu.launches import Container, lower_launches

        def tables_of(engine: str) -> EngineTables | None:
            return load_engine_tables(engine, versions.get(engine, ""))

        others = {"router": router["name"], "judge": engines["routed"][0] if engines.get("routed") else ""}
        return lower_launches(experiment, tables_of, Container(**container), others)

    return launches


@cache
def load_engine_tables(engine: str, version: str) -> EngineTables | None:
    """Return how a plan is lowered to an engine, or None for one that no plan is lowered to."""
    from targets.gpu.launches import EngineTables

    file = _PROJECT / "targets" / "launch" / f"{engine}.toml"
    if not file.is_file():
        return None
    taken = _data(_PROJECT / "targets" / "engines" / f"{engine}-{version}.toml") if version else {}
    argv, records, extends = (taken.get(name, {}) for name in ("argv", "records", "extends"))
    return EngineTables(_data(file), argv, records, extends, version)


@cache
def load_advisories() -> tuple[Advisory, ...]:
    """Return the known faults of stdlib/advisories; the name of a file is that of their engine."""
    files = _toml_files(_PROJECT / "stdlib" / "advisories")
    return tuple(
        Advisory(file.stem, row["versions"], tuple(row["when"].items()), row["verdict"], row["why"], row["source"])
        for file in files
        for row in _data(file)["advisory"]
    )


def extended(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return data over other data: tables key by key, lists of tables one after the other, other values replaced."""
    found = {**base, **own}
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict):
            found[key] = extended(base[key], own[key])
        elif isinstance(base[key], list) and base[key] and isinstance(base[key][0], dict):
            found[key] = [*base[key], *own[key]]
    return found


def _with_shared(own: Environment, shared: Mapping[str, str]) -> Environment:
    """A target's variables with those of its data, sorted by name."""

    def environment(cluster: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
        values = {**shared, **{variable.name: variable.value for variable in own(cluster)}}
        return tuple(EnvironmentVariable(name=name, value=value) for name, value in sorted(values.items()))

    return environment


def _target_data(name: str) -> dict[str, Any]:
    """What a target.toml says, over what the folder that it extends has for several targets."""
    targets = _PROJECT / "targets"
    own = _data(targets / name / "target.toml")
    base = own.pop("extends", "")
    return extended(_data(targets / base / "base.toml"), own) if base else own


def _data(path: Path) -> Any:
    """The content of a TOML file of ours.  Raises: SpecError if it is none."""
    reporter = Reporter()
    session = Session(path.parent, cache_folder())
    found = session.trees(Place(path, path.name, path.parent), named_at=None, reporter=reporter)
    reporter.raise_errors()
    assert found is not None, "what cannot be read was reported"
    return plain(found.table(SPEC))


def _toml_files(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".toml")]


def _stems(folder: Path) -> tuple[str, ...]:
    files = (file for file in os.listdir(folder) if file.endswith(".py") and not file.startswith("_"))
    return tuple(sorted(file.removesuffix(".py") for file in files))
