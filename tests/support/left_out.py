"""A spec that leaves its layout to the planner, and what the planner makes of it."""

from __future__ import annotations

from pathlib import Path

from compiler.compile import Compiled
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.planner.chosen import CHOOSABLE
from compiler.planner.search.problem import Problem, problem_of
from rlc.catalogue import scan
from tests.support.good_spec import GPU, MOE, Changes, compiled

LEFT_OUT = {path: value for path, value in GPU.items() if not path.startswith("parallel.")}
EXPERTS_LEFT_OUT = {**LEFT_OUT, "model.name": MOE["model.name"]}


def axes_of(found: Compiled) -> dict[str, object]:
    """Return every setting of the layout by its last name."""
    assert found.subject is not None
    parallel, placement = found.subject.experiment.parallel, found.subject.experiment.placement
    assert isinstance(parallel, Parallel)
    assert isinstance(placement, GpuPlacement)
    values = {**parallel.__dict__, **placement.__dict__}
    return {name: values[name] for name in CHOOSABLE if name in values}


def problem(folder: Path, changes: Changes, *, open_names: frozenset[str] = frozenset(CHOOSABLE)) -> Problem:
    """Return a search over a spec with everything open, or some of it."""
    subject = compiled(folder, changes, base=LEFT_OUT).subject
    assert subject is not None
    found = problem_of(subject.experiment, subject.origins, scan(), open_names)
    assert found is not None
    return found
