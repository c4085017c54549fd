"""Puts every actor on a device."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.machine import ActorRole, Role
from compiler.ir.openness import Auto, Off
from compiler.ir.provenance import Provenance


def place_actors(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """With one device all actors share it, in one process; what needs more devices is refused by the rules."""
    target = catalogue.load_target(experiment.cluster.target)
    device = f"{target.device}:0"
    roles: dict[tuple[str, str], Role] = {}
    asked_by: dict[tuple[str, str], list[str]] = {}

    def add(role: ActorRole, engine: object, *fields: str) -> None:
        if isinstance(engine, str):
            roles[role, engine] = Role(role=role, engine=engine, node=0, device=device, process=0)
            asked_by.setdefault((role, engine), []).extend(fields)

    for index, stage in enumerate(experiment.stages):
        path = f"stages.{index}"
        add("trainer", stage.train.engine.name, f"{path}.train.engine.name")
        if not isinstance(stage.reference, Off):
            add("reference", stage.train.engine.name, f"{path}.reference", f"{path}.train.engine.name")
        if not isinstance(stage.rollout, Off):
            add("rollout", stage.rollout.engine.name, f"{path}.rollout.engine.name")
        if not isinstance(stage.reward, Off):
            add("reward", stage.reward.name, f"{path}.reward.name")
    shared = ("cluster.target", "cluster.nodes", "placement.mode")
    origins.derived("placement.roles", by="place_actors", inputs=shared)
    for i, key in enumerate(sorted(roles)):
        for field in Role.fields():
            inputs = (*shared, *asked_by[key])
            origins.derived(f"placement.roles.{i}.{field}", by="place_actors", inputs=inputs)
    placed = tuple(roles[key] for key in sorted(roles))
    return experiment.replacing(placement=experiment.placement.replacing(roles=placed))
