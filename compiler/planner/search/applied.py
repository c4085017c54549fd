"""An experiment with the values of a candidate, by the engines' own names where these have them."""

from __future__ import annotations

from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.options import SHARES, given, settings_given
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import Provenance
from compiler.ir.training import Fsdp2
from compiler.planner.chosen import AXES, BY, SIDES
from compiler.planner.memory.activations import Recompute
from compiler.planner.search.judge import stage_of
from compiler.planner.search.problem import Candidate, Problem, gives_tokens, gives_way
from compiler.planner.search.share import chooses_share, share_of
from compiler.planner.search.space import tokens_at

_FOLLOWS = ("sp", "dp")  # tensor parallelism, and the identity of GPUs, say these


def applied(
    experiment: Experiment[Auto], origins: Provenance, problem: Problem, candidate: Candidate
) -> Experiment[Auto]:
    """Return an experiment with what is open of it as a candidate has it, and keep the origins."""
    placement, parallel, layout = experiment.placement, experiment.parallel, candidate.layout
    assert isinstance(placement, GpuPlacement), "a layout is chosen on GPUs"
    assert isinstance(parallel, Parallel), "whose axes there are"
    sizes = {axis: getattr(layout, axis) for axis in AXES}
    if layout.last_layers and isinstance(parallel.pp_last_layers, Off):
        sizes["pp_last_layers"] = layout.last_layers
        origins.derived("parallel.pp_last_layers", by=BY, inputs=("model.num_layers", "parallel.pp"))
    sides = {side: getattr(candidate, side) for side in SIDES} if problem.samples else {}
    experiment = experiment.replacing(parallel=parallel.replacing(**sizes), placement=placement.replacing(**sides))
    inputs = ("model.name", "cluster.gpus_per_node", "cluster.nodes")
    inputs = (*inputs, *(f"stages.{index}.train.global_batch" for index in range(len(problem.stages))))
    for axis in AXES:
        if axis in problem.open and axis not in _FOLLOWS:
            origins.derived(f"parallel.{axis}", by=BY, inputs=inputs)
    for side in sides:
        if side in problem.open:
            origins.derived(f"placement.{side}", by=BY, inputs=inputs)
    for index, facts in enumerate(problem.stages):
        path = f"stages.{index}.train.packing.tokens"
        if "tokens" in problem.open and not gives_tokens(problem, index):
            tokens = tokens_at(problem, facts, layout, candidate.level)
            experiment = replaced(experiment, path, int(tokens))
            origins.derived(path, by=BY, inputs=(*inputs, "parallel.cp"))
        if "engine_way" in problem.open and not gives_way(problem) and not isinstance(facts.stage.rollout, Off):
            experiment = _spreading(experiment, origins, index, candidate, inputs)
        if chooses_share(problem, facts) and not isinstance(facts.stage.rollout, Off):
            share = share_of(problem, stage_of(problem, facts, candidate))
            name = str(facts.stage.rollout.engine.name)
            path = f"stages.{index}.rollout.engine.{name}"
            experiment = _handed(experiment, origins, path, {SHARES[name]: share}, inputs)
        if isinstance(facts.stage.train.engine.fsdp2, Fsdp2):
            experiment = _sharding(experiment, origins, index, candidate, inputs)
        elif candidate.recompute is not None:
            experiment = _recomputing(experiment, origins, index, candidate.recompute, inputs)
    return experiment


def _recomputing(
    experiment: Experiment[Auto], origins: Provenance, index: int, recompute: Recompute, inputs: tuple[str, ...]
) -> Experiment[Auto]:
    """Tell Megatron by its own names; what computes nothing again is told nothing."""
    values: dict[str, object] = {}
    if recompute.granularity != "none":
        values["recompute_granularity"] = recompute.granularity
    if recompute.granularity == "full":
        values.update(recompute_method=recompute.method, recompute_num_layers=recompute.num_layers)
    elif recompute.granularity == "selective":
        values["recompute_modules"] = recompute.modules
    if not values:
        return experiment
    return _handed(experiment, origins, f"stages.{index}.train.engine.megatron", values, inputs)


def _sharding(
    experiment: Experiment[Auto], origins: Provenance, index: int, candidate: Candidate, inputs: tuple[str, ...]
) -> Experiment[Auto]:
    """Set what of FSDP2's own table is open."""
    values: dict[str, object] = {}
    again, sharding = candidate.recompute, candidate.sharding
    if again is not None:
        values["activation_checkpointing"] = OFF if again.granularity == "none" else again.granularity
    if sharding is not None:
        values.update(reshard_after_forward=sharding.kept_frac == 0, dp_replicate_size=sharding.groups)
    for key, value in values.items():
        path = f"stages.{index}.train.engine.fsdp2.{key}"
        experiment = replaced(experiment, path, value)
        origins.derived(path, by=BY, inputs=inputs)
    return experiment


def _spreading(
    experiment: Experiment[Auto], origins: Provenance, index: int, candidate: Candidate, inputs: tuple[str, ...]
) -> Experiment[Auto]:
    """Tell SGLang by its own names; what splits all layers alike is told nothing."""
    each = candidate.gpus_per_engine
    values: dict[str, object] = {}
    if candidate.way != "tp":
        values["ep_size"] = each
    if candidate.way == "dp":
        values.update(enable_dp_attention=True, dp_size=each)
    if not values:
        return experiment
    return _handed(experiment, origins, f"stages.{index}.rollout.engine.sglang", values, inputs)


def _handed(
    experiment: Experiment[Auto],
    origins: Provenance,
    path: str,
    values: dict[str, object],
    inputs: tuple[str, ...],
) -> Experiment[Auto]:
    """Add settings to what is handed to an engine."""
    engine, _, name = path.rpartition(".")
    kept = settings_given(read(experiment, engine), name)
    for key in values:
        origins.derived(f"{path}.{key}", by=BY, inputs=inputs)
    return replaced(experiment, path, given({**kept, **values}))


def refusal(problem: Problem, candidate: Candidate, *, is_whole: bool = True) -> str:
    """Return why a requirement does not let a candidate be chosen, nothing where all do.

    Args:
        is_whole: whether the candidate is complete; else its sides and axes are.
    """
    refuses = problem.subject.origins.refuses
    if refuses is None or not problem.heeds_requirements:
        return ""
    return refuses(applied(problem.experiment, Provenance(), problem, candidate), is_whole)
