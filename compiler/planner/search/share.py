"""The share of a GPU that an engine may take, where nobody says it: all that nothing else needs.

Engines make their cache as large as their share allows, so the largest share that fits is the quickest.  What lies
beside it is counted: contexts and communicators of both sides, kernels' workspaces, graphs, logits, weights on their
way; and some of the GPU stays free, unless nothing fits so and there would be next to no cache.
"""

from __future__ import annotations

from math import floor

from compiler.planner.chosen import HEADROOM_FRAC
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.engine import largest_pool, weight_lines
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.phases import StageJob, beside_engine
from compiler.planner.search.problem import Problem, StageFacts

_MOST_COMMUNICATORS = 7  # of a training GPU, with every axis
_LEAST_CACHE_FRAC = 0.1  # of a GPU, below which an engine may take what would stay free


def with_share(problem: Problem, facts: StageFacts, job: StageJob) -> StageJob:
    """Return a stage whose engine takes the largest share, or the one that it is given."""
    engine = job.engine
    if engine is None or not chooses_share(problem, facts):
        return job
    memory = problem.gpu.memory_gib * GIB
    beside = beside_engine(job._replace(communicators=_MOST_COMMUNICATORS), CONSTANTS)
    pool = largest_pool(engine, memory * (1 - HEADROOM_FRAC) - beside, CONSTANTS)
    if not problem.headroom_frac and pool < total(weight_lines(engine)) + memory * _LEAST_CACHE_FRAC:
        pool = largest_pool(engine, memory - beside, CONSTANTS)
    share = floor(pool / memory * 100) / 100
    return job._replace(engine=engine._replace(pool_bytes=share * problem.gpu.memory_gib * GIB, is_pool_given=True))


def chooses_share(problem: Problem, facts: StageFacts) -> bool:
    """Whether the share of a stage's engine is open."""
    return "share" in problem.open and (not facts.gives_share or "share" in problem.released)


def share_of(problem: Problem, job: StageJob) -> float | None:
    """Return the share of a GPU that a stage's engine is told to take, None where it is told nothing."""
    engine = job.engine
    if engine is None or not engine.is_pool_given:
        return None
    return round(engine.pool_bytes / (problem.gpu.memory_gib * GIB), 6)
