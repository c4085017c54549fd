"""Chooses the layout that nobody wrote: the fastest that fits, by the planner's own memory and clock.

It looks for one where all of [parallel] is left out, on GPUs that are known; it may then set whatever else of the
layout is left out: who has which GPUs, the GPUs of an engine, micro-batches, and what is computed again.  Where some of
[parallel] is written, it sets what says "auto".  What is written, in a spec or a recipe, or is required, stays.  Where
nothing that fits meets a requirement, the fastest that fits is set, and what is said of the requirement names it.
Where nothing fits, what is least over is set, and a rule says so; where nothing is legal, everything stays as it was,
and the rules about it speak.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance
from compiler.planner.chosen import left_out


def choose_layout(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Set what is open of [parallel] and [placement], micro-batches, and what is computed again."""
    names = left_out(experiment, origins)
    if not names:
        return experiment
    from compiler.planner.search.applied import applied
    from compiler.planner.search.choose import choose, described
    from compiler.planner.search.problem import problem_of

    problem = problem_of(experiment, origins, catalogue, names)
    if problem is None:
        return experiment
    found = choose(problem)
    best = found.best
    if best is None and found.excluded is not None:
        best, origins.excluded = found.excluded.timed, (found.excluded.why, described(found.excluded.timed))
    if best is None and found.nearest is not None:
        best = found.nearest.timed
    problem = problem._replace(is_strict=found.is_strict, headroom_frac=found.headroom_frac)
    return experiment if best is None else applied(experiment, origins, problem, best.candidate)
