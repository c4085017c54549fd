"""Whether a candidate fits, by the memory model that plans are judged by, and how long its step takes.

Memory says the same as the rules do: what a GPU holds for a whole stage (RLC0530), an engine's longest sequence
(RLC0532), the hand-over (RLC0537), and every phase of a step (RLC0402).  Beyond the rules, a candidate leaves some of a
GPU free, as the model is not exact; an engine's cache may take that as well, for engines measure what is left and make
their cache as large as that.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.planner.forecast import stage_bytes
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.engine import CACHE, EngineJob
from compiler.planner.memory.experiment_facts import relaid, resized
from compiler.planner.memory.lines import GIB, Line
from compiler.planner.memory.phases import HOST, Phase, StageJob, phases_of
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding
from compiler.planner.ranks import Spread, engine_formats, engine_sequence_bytes, engine_weight_bytes
from compiler.planner.search.problem import Candidate, Problem, StageFacts, Way, generating_engines
from compiler.planner.search.share import with_share
from compiler.planner.search.space import tokens_at

OF_TRAINING = ("train", "log-probs")


class Fullness(NamedTuple):
    """The phase in which a GPU is fullest, what it holds then, and the bytes it is over; negative if some are left.

    What is over is counted against a GPU less what is to stay free of it.
    """

    stage: str
    phase: Phase
    over: float


def fullness(problem: Problem, candidate: Candidate) -> Fullness:
    """Return the fullest phase of a candidate, of all stages."""
    found = (phase for index, facts in enumerate(problem.stages) for phase in _phases(problem, index, facts, candidate))
    return max((Fullness(name, phase, _over(problem, phase)) for name, phase in found), key=lambda one: one.over)


def _room(problem: Problem) -> int:
    """Bytes of a GPU that may be taken, without what is to stay free."""
    return int(problem.gpu.memory_gib * GIB * (1 - problem.headroom_frac))


def _over(problem: Problem, phase: Phase) -> float:
    """Bytes that a phase is over: of all of a GPU, or without an engine's cache of what may be taken."""
    held = phase.bytes
    if not problem.headroom_frac:
        return held - _room(problem)
    cache = sum(line.bytes for line in phase.lines if line.name == CACHE)
    return max(held - cache - _room(problem), held - int(problem.gpu.memory_gib * GIB))


def fits(problem: Problem, candidate: Candidate) -> bool:
    """Whether a candidate fits."""
    return fullness(problem, candidate).over <= 0


def trains_within(
    problem: Problem, layout: Layout, recompute: Recompute | None, level: int, mode: str, sharding: Sharding | None
) -> bool:
    """Whether training alone fits, before anyone asks what engines take beside it."""
    room = _room(problem)
    for facts in problem.stages:
        if stage_bytes(problem.experiment.model, facts.stage, _spread(layout)).total > room:
            return False
        job = trained(problem, facts, layout, recompute, level, sharding)
        job = job._replace(engine=None, is_shared=mode == "colocate")
        if any(_over(problem, phase) > 0 for phase in _judged(problem, facts, job)):
            return False
    return True


def samples_within(problem: Problem, mode: str, each: int, gpus: int, way: Way) -> bool:
    """Whether engines of so many GPUs fit beside the least that any trainer keeps on them."""
    for index, facts in enumerate(problem.stages):
        base = facts.job._replace(is_shared=mode == "colocate", communicators=1)
        job = sampled(problem, base, facts, each=each, gpus=gpus, way=way)
        if job.engine is None:
            continue
        sampling = [phase for phase in phases_of(job, CONSTANTS) if phase.name == "rollout"]
        if any(_over(problem, phase) > 0 for phase in (*sampling, _one_sequence(problem, index, job.engine))):
            return False
    return True


def holds_states(problem: Problem, layout: Layout) -> bool:
    """Whether weights, gradients and optimizer state alone fit: the first question, and the quickest."""
    return held(problem, layout) <= _room(problem)


def held(problem: Problem, layout: Layout) -> int:
    """Return the bytes of weights, gradients and optimizer state on a GPU, counted from below, of the fullest stage."""
    return max(stage_bytes(problem.experiment.model, f.stage, _spread(layout)).total for f in problem.stages)


def trained(
    problem: Problem,
    facts: StageFacts,
    layout: Layout,
    recompute: Recompute | None,
    level: int,
    sharding: Sharding | None,
) -> StageJob:
    """Return what decides the memory of a stage with other axes, its engine as it was."""
    base = facts.job
    if sharding is not None:
        base = base._replace(job=base.job._replace(storage=base.job.storage._replace(sharding=sharding)))
    return relaid(
        base,
        facts.stage,
        layout,
        longest=facts.longest,
        tokens=tokens_at(problem, facts, layout, level),
        recompute=base.job.recompute if recompute is None else recompute,
    )


def sampled(problem: Problem, job: StageJob, facts: StageFacts, *, each: int, gpus: int, way: Way) -> StageJob:
    """Return a stage with engines of another size, and the share of a GPU that they then take."""
    if job.engine is None:
        return job
    engine = resized(job.engine, facts.stage, gpus=each, engines=generating_engines(problem, gpus, each))
    job = with_share(problem, facts, job._replace(engine=engine._replace(copies_attention=way == "dp")))
    return job if job.reader is None else job._replace(reader=_reading(problem, job.reader, job.engine or engine))


def _reading(problem: Problem, reader: EngineJob, engine: EngineJob) -> EngineJob:
    """Return the engine that reads prompts for another: as large as a spec says, or as large; told the same."""
    placement = problem.experiment.placement
    assert isinstance(placement, GpuPlacement), "a layout is searched for GPUs"
    pairs = placement.disaggregation
    own = isinstance(pairs, Off) or isinstance(pairs.prefill_gpus_per_engine, int)
    return reader._replace(
        gpus=reader.gpus if own else engine.gpus,
        copies_attention=engine.copies_attention,
        pool_bytes=engine.pool_bytes,
        is_pool_given=engine.is_pool_given,
    )


def stage_of(problem: Problem, facts: StageFacts, candidate: Candidate) -> StageJob:
    """Return what decides the memory of a stage of a candidate."""
    job = trained(problem, facts, candidate.layout, candidate.recompute, candidate.level, candidate.sharding)
    job = job._replace(is_shared=candidate.mode == "colocate")
    each, gpus = candidate.gpus_per_engine, candidate.rollout_gpus
    return sampled(problem, job, facts, each=each, gpus=gpus, way=candidate.way)


def _phases(problem: Problem, index: int, facts: StageFacts, candidate: Candidate) -> Iterator[tuple[str, Phase]]:
    """The phases of the memory model, and what is counted from below, which other rules ask for."""
    name, device = facts.stage.name, "GPU"
    job = stage_of(problem, facts, candidate)
    for phase in _judged(problem, facts, job):
        yield name, phase
    model, each = problem.experiment.model, candidate.gpus_per_engine
    state = stage_bytes(model, facts.stage, _spread(candidate.layout))
    yield name, Phase("train", device, (Line("weights, gradients and optimizer state", state.total),))
    rollout = facts.stage.rollout
    if isinstance(rollout, Off) or job.engine is None:
        return
    weights = engine_weight_bytes(model, each, engine_formats(rollout.engine))
    if candidate.mode == "colocate":
        yield name, Phase("handoff", device, (Line("both sets of weights", state.weights + weights),))
    yield name, _one_sequence(problem, index, job.engine)


def _one_sequence(problem: Problem, index: int, engine: EngineJob) -> Phase:
    """An engine's weights and one sequence, with what its share of a GPU leaves to others."""
    rollout, model, each = problem.stages[index].stage.rollout, problem.experiment.model, engine.gpus
    assert not isinstance(rollout, Off), "an engine samples"
    formats = engine_formats(rollout.engine)
    held = engine_weight_bytes(model, each, formats)
    held += engine_sequence_bytes(model, each, rollout.max_context_tokens, formats)
    memory = problem.gpu.memory_gib * GIB
    taken = max(0.0, memory - engine.pool_bytes) if engine.is_pool_given else 0.0
    lines = (Line("an engine with one sequence", held), Line(CACHE, taken)) if taken else ()
    return Phase("rollout", "GPU", lines or (Line("an engine with one sequence", held),))


def _judged(problem: Problem, facts: StageFacts, job: StageJob) -> list[Phase]:
    """The phases on GPUs of which a spec says how full they are, and others where nothing else is strict enough."""
    phases = [phase for phase in phases_of(job, CONSTANTS) if phase.device != HOST]
    is_judged = facts.is_bounded or problem.is_strict
    return [phase for phase in phases if is_judged or phase.name not in OF_TRAINING]


def _spread(layout: Layout) -> Spread:
    return Spread(layout.tp, layout.pp, layout.cp, layout.ep, layout.etp, layout.dp)
