"""Chooses the layout that nobody wrote: the fastest that fits, by the planner's own memory and clock.

It looks for one where all of [parallel] is left out, on GPUs that are known; it may then set whatever else of the
layout is left out: who has which GPUs, the GPUs of an engine, micro-batches, and what is computed again.  Where some of
[parallel] is written, it sets what says "auto".  What is written, in a spec or a recipe, or is required, stays.  Where
nothing that fits meets a requirement, the fastest that fits is set, and what is said of the requirement names it.
Where nothing fits, what is least over is set, and a rule says so; where nothing is legal, everything stays as it was,
and the rules about it speak.  A schedule that says "auto" is chosen with the layout, and is "sync" where none is.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import AUTO, Auto
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import Provenance
from compiler.planner.chosen import BY, SCHEDULE, left_out, paths_of

if TYPE_CHECKING:
    from compiler.planner.search.choose import Choice
    from compiler.planner.search.problem import Problem


def choose_layout(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Set what is open of [parallel] and [placement], micro-batches, what is computed again, and the schedule."""
    names = left_out(experiment, origins)
    if not names:
        return _waiting(experiment, origins)
    if SCHEDULE in names:
        from compiler.planner.search.schedules import fastest, loops

        loop = fastest(loops(experiment, origins, catalogue, names))
        for path in paths_of(SCHEDULE, len(experiment.stages)):
            if read(experiment, path) is AUTO:
                origins.derived(path, by=BY, inputs=("model.name", "cluster.gpus_per_node", "cluster.nodes"))
        return _laid_out(loop.experiment, origins, loop.problem, loop.found)
    experiment = _waiting(experiment, origins)
    from compiler.planner.search.choose import choose
    from compiler.planner.search.problem import problem_of

    problem = problem_of(experiment, origins, catalogue, names)
    return _laid_out(experiment, origins, problem, None if problem is None else choose(problem))


def _laid_out(
    experiment: Experiment[Auto], origins: Provenance, problem: Problem | None, found: Choice | None
) -> Experiment[Auto]:
    """Set what was found: what fits, what a requirement excludes, or what is least over."""
    if problem is None or found is None:
        return experiment
    from compiler.planner.search.applied import applied
    from compiler.planner.search.choose import described

    best = found.best
    if best is None and found.excluded is not None:
        best, origins.excluded = found.excluded.timed, (found.excluded.why, described(found.excluded.timed))
    if best is None and found.nearest is not None:
        best = found.nearest.timed
    problem = problem._replace(is_strict=found.is_strict, headroom_frac=found.headroom_frac)
    return experiment if best is None else applied(experiment, origins, problem, best.candidate)


def _waiting(experiment: Experiment[Auto], origins: Provenance) -> Experiment[Auto]:
    """Let schedules wait that say "auto" where there is nothing to choose: one process takes turns anyway."""
    for path in paths_of(SCHEDULE, len(experiment.stages)):
        if read(experiment, path) is AUTO:
            origins.derived(path, by=BY, inputs=("cluster.target",))
            experiment = replaced(experiment, path, "sync")
    return experiment
