"""The Catalogue: the standard library and the targets, found by scanning their folders.

Only names are read here; an algorithm's module is imported, and a target's data read, when an experiment names it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import tomli

from compiler.ir.catalogue import AlgorithmEntry, Catalogue, TargetEntry

_PROJECT = Path(__file__).resolve().parent.parent


def scan() -> Catalogue:
    """Return what there is."""
    stdlib, targets = _PROJECT / "stdlib", _PROJECT / "targets"
    return Catalogue(
        stdlib=stdlib,
        algorithms=_stems(stdlib / "algorithms"),
        rewards=_stems(stdlib / "rewards"),
        targets=tuple(sorted(p.parent.name for p in targets.glob("*/target.toml"))),
        load_algorithm=load_algorithm,
        load_target=load_target,
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
    data = tomli.loads((_PROJECT / "targets" / name / "target.toml").read_text(encoding="utf-8"))
    lowering = import_module(f"targets.{name}.lowering")
    engines = data["engines"]
    return TargetEntry(
        name=data["name"],
        device=data["device"],
        devices_per_node=data["devices_per_node"],
        rollout_engines=tuple(engines["rollout"]),
        train_engines=tuple(engines["train"]),
        families=tuple(engines["families"]),
        executors=tuple(data["executes"]["executors"]),
        environment=lowering.environment,
    )


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))
