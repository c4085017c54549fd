"""Puts every actor on a device.

Without GPUs all actors share one device, in one process.  With GPUs the trainer has the first ones, one process each;
rollout engines have the same ones where both sides share, and those behind them where they do not.  Rewards run on the
first machine's processor.  A stage that only samples has nobody beside the weights who trains; one that only trains has
nobody who generates, unless it evaluates.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import ActorRole, GpuPlacement, Role, Router
from compiler.ir.openness import Auto, Off
from compiler.ir.provenance import Provenance
from compiler.ir.sides import has_engine, placed_judges, trains


class _Seat(NamedTuple):
    node: int
    device: str
    process: int


def place_actors(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Fill placement.roles."""
    target = catalogue.load_target(experiment.cluster.target)
    experiment = _with_router(experiment, origins)
    seats = _seats(experiment, target.device)
    roles: dict[tuple[str, str], tuple[Role, ...]] = {}
    asked_by: dict[tuple[str, str], list[str]] = {}

    def add(role: ActorRole, engine: object, *fields: str) -> None:
        if isinstance(engine, str) and role in seats:
            roles[role, engine] = tuple(
                Role(role=role, engine=engine, node=seat.node, device=seat.device, process=seat.process)
                for seat in seats[role]
            )
            asked_by.setdefault((role, engine), []).extend(fields)

    for index, stage in enumerate(experiment.stages):
        path = f"stages.{index}"
        add("trainer", stage.train.engine.name, f"{path}.train.engine.name")
        if trains(stage) and not isinstance(stage.reference, Off):
            add("reference", stage.train.engine.name, f"{path}.reference", f"{path}.train.engine.name")
        if trains(stage) and isinstance(stage.algorithm, ActorCriticParams):
            add("critic", stage.train.engine.name, f"{path}.algo.name", f"{path}.train.engine.name")
        if trains(stage) and isinstance(stage.algorithm, TaughtParams):
            add("teacher", stage.train.engine.name, f"{path}.algo.name", f"{path}.train.engine.name")
        if has_engine(stage) and not isinstance(stage.rollout, Off):
            for kind in ("rollout", "prefill", "decode"):
                add(kind, stage.rollout.engine.name, f"{path}.rollout.engine.name")
            add("router", target.router, f"{path}.rollout.engine.name")
        if has_engine(stage) and not isinstance(stage.reward, Off):
            add("reward", stage.reward.name, f"{path}.reward.name")
        if target.routed and any(True for _ in placed_judges(stage)):
            add("judge", target.routed[0], f"{path}.reward.name")
    shared = ("cluster.target", "cluster.nodes", "placement.mode")
    if isinstance(experiment.placement, GpuPlacement):
        of_gpus = ("train_gpus", "rollout_gpus", "gpus_per_engine")
        shared = (*shared, "cluster.gpus_per_node", *(f"placement.{name}" for name in of_gpus))
        if not isinstance(experiment.placement.disaggregation, Off):
            pairs = ("prefill_engines", "prefill_gpus_per_engine")
            shared = (*shared, *(f"placement.disaggregation.{name}" for name in pairs))
        if experiment.placement.judge_gpus():
            shared = (*shared, "placement.judge.gpus", "placement.judge.gpus_per_engine")
    origins.derived("placement.roles", by="place_actors", inputs=shared)
    placed = [(key, role) for key in sorted(roles) for role in roles[key]]
    for i, (key, _) in enumerate(placed):
        for field in Role.fields():
            inputs = (*shared, *asked_by[key])
            origins.derived(f"placement.roles.{i}.{field}", by="place_actors", inputs=inputs)
    return experiment.replacing(placement=experiment.placement.replacing(roles=tuple(role for _, role in placed)))


def _seats(experiment: Experiment[Auto], device: str) -> dict[ActorRole, tuple[_Seat, ...]]:
    """Where the actors of each role sit."""
    placement = experiment.placement
    named = gpus_per_node(experiment.cluster.gpus_per_node)
    if named is None or not isinstance(placement, GpuPlacement):
        one = (_Seat(0, f"{device}:0", 0),)
        return dict.fromkeys(("trainer", "reference", "critic", "teacher", "rollout", "reward"), one)

    on_a_node = named.count
    there_are = on_a_node * experiment.cluster.nodes

    def gpus(first: int, number: object, each: int, process: int) -> tuple[_Seat, ...]:
        # Nobody sits on more than there are; that a side asks for more is said by a rule.
        count = min(number, there_are) if isinstance(number, int) else 0
        starts = range(first, first + count - each + 1, each)
        found = [(divmod(start, on_a_node), at) for at, start in enumerate(starts, process)]
        return tuple(_Seat(node, _devices(device, local, each, on_a_node), at) for (node, local), at in found)

    # The trainer's processes come first, and hold reference, critic and teacher too; then one for each engine, then one
    # for rewards, and then the router.
    train = gpus(0, placement.train_gpus, 1, 0)
    found: dict[ActorRole, tuple[_Seat, ...]] = dict.fromkeys(("trainer", "reference", "critic", "teacher"), train)
    process = len(train)
    for group in placement.engine_groups():
        found[group.role] = gpus(group.first_gpu, group.engines * group.gpus, group.gpus, process)
        process += len(found[group.role])
    found["reward"] = (_Seat(0, "cpu", process),)
    if not isinstance(placement.router, Off):
        process += 1
        found["router"] = (_Seat(0, "cpu", process),)
    judges = placement.judge_group(there_are)
    if judges is not None and judges.first_gpu > 0:
        found["judge"] = gpus(judges.first_gpu, judges.engines * judges.gpus, judges.gpus, process + 1)
    return found


def _with_router(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    """Engines of two kinds have a router, and as many GPUs each as the others where nobody says."""
    placement = experiment.placement
    if not isinstance(placement, GpuPlacement) or isinstance(placement.disaggregation, Off):
        return experiment
    pairs, path = placement.disaggregation, "placement.disaggregation.prefill_engines"
    if isinstance(placement.router, Off):
        defaults: dict[str, Any] = {name: field.default for name, field in Router.fields().items()}
        placement = placement.replacing(router=Router(**defaults))
        for name in Router.fields():
            origins.derived(f"placement.router.{name}", by="place_actors", inputs=(path,))
    if isinstance(pairs.prefill_gpus_per_engine, Auto):
        field = "placement.disaggregation.prefill_gpus_per_engine"
        origins.derived(field, by="place_actors", inputs=("placement.gpus_per_engine",))
        pairs = pairs.replacing(prefill_gpus_per_engine=placement.gpus_per_engine)
    return experiment.replacing(placement=placement.replacing(disaggregation=pairs))


def _devices(device: str, first: int, number: int, on_a_node: int) -> str:
    """One device, or a run of them; an engine of several machines begins on the first one."""
    last = first + number - 1
    if number == 1:
        return f"{device}:{first}"
    return f"{device}:{first}-{min(last, on_a_node - 1)}" + (
        f" and {last - on_a_node + 1} more" if last >= on_a_node else ""
    )
