"""The schedule with the fastest step, where a stage says `schedule.mode = "auto"`.

Each of the three is tried with everything else that is open: with the fastest layout that it has.  One whose samples
are older than the weights is tried only of stages of which the rules about loops have nothing to say: the loss corrects
for older samples, and each group stands alone.  Seconds of a step decide; how many more steps older samples take to
learn the same is not weighed.  Of equally fast ones the first is taken, the one with the newest samples.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import Provenance
from compiler.ir.subject import Subject
from compiler.planner.chosen import SCHEDULE, paths_of
from compiler.planner.search.choose import Choice, choose
from compiler.planner.search.problem import Problem, problem_of

MODES = ("sync", "one_step_off", "async")


class Loop(NamedTuple):
    """A schedule, and what a search of its layouts found.

    Args:
        mode: of the stages that ask for a choice and may have it; the others are "sync".
        experiment: with the schedule, and everything else as it was.
        problem: the search, None where there is none: some setting has no value, or the rules allow no stage the mode.
        found: what it found.
        why_not: why the mode is not tried, by the rules.
    """

    mode: str
    experiment: Experiment[Any]
    problem: Problem | None
    found: Choice | None
    why_not: str = ""


def loops(
    experiment: Experiment[Any], origins: Provenance, catalogue: Catalogue, names: frozenset[str]
) -> tuple[Loop, ...]:
    """Return each schedule with the fastest layout that fits under it, or with why it is not tried."""
    return tuple(_loop(mode, experiment, origins, catalogue, names) for mode in MODES)


def fastest(tried: tuple[Loop, ...]) -> Loop:
    """Return the schedule with the fastest step; "sync" where nothing fits under any.

    As in the search of each: what fits for the longest samples, and leaves some of a GPU free, goes before what is
    faster and does not.
    """
    fitting = [loop for loop in tried if loop.found is not None and loop.found.best is not None]
    return min(fitting, key=_rank, default=tried[0])


def asking(experiment: Experiment[Any], origins: Provenance) -> Iterator[str]:
    """Yield the modes that say "auto", by their paths."""
    yield from (path for path in paths_of(SCHEDULE, len(experiment.stages)) if path in origins.asked)


def _rank(loop: Loop) -> tuple[bool, float, float]:
    found = loop.found
    assert found is not None, "a loop that was tried"
    assert found.best is not None, "and has a layout"
    return not found.is_strict, -found.headroom_frac, found.best.step_s


def _loop(
    mode: str, experiment: Experiment[Any], origins: Provenance, catalogue: Catalogue, names: frozenset[str]
) -> Loop:
    paths = list(asking(experiment, origins))
    for path in paths:
        experiment = replaced(experiment, path, MODES[0])
    why = ""
    if mode != MODES[0]:
        able = experiment
        for path in paths:
            one = replaced(experiment, path, mode)
            said = _objection(one, origins, catalogue, names, path)
            why = why or said
            able = able if said else replaced(able, path, mode)
        if all(read(able, path) != mode for path in paths):
            return Loop(mode, experiment, None, None, why)
        experiment = able
    problem = problem_of(experiment, origins, catalogue, names)
    found = None if problem is None else choose(problem, names_nearest=mode == MODES[0])
    return Loop(mode, experiment, problem, found)


def _objection(
    experiment: Experiment[Any], origins: Provenance, catalogue: Catalogue, names: frozenset[str], path: str
) -> str:
    """Return what the rules about loops say of one stage's, nothing where it may have it.

    A side of its own is part of the choice where that is open.  What a spec allows all the same is not asked: a bias
    that somebody means is not one that somebody chooses.
    """
    if "mode" in names and isinstance(experiment.placement, GpuPlacement):
        experiment = replaced(experiment, "placement.mode", "split")
    subject = Subject(experiment, origins, catalogue)
    stage = path.removesuffix("schedule.mode")
    for diagnostic in origins.judges(subject) if origins.judges is not None else ():
        if diagnostic.severity == "error" and any(field.startswith(stage) for field in diagnostic.paths):
            return f"{diagnostic.message} ({diagnostic.code})"
    return ""
