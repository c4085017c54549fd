"""Some layout fits.

What: where the planner chooses the layout, because all of [parallel] is left out, at least one legal layout fits the
GPUs in every phase of a step.  The message names the one that is least over, and the phase in which it is fullest.
Why it matters: without it there is nothing to propose; every one of them would run out of memory.
Example: a model of 70 billion parameters on one machine of eight GPUs of 80 GB.
Fix: the message has what the planner found to fit when it changed one thing: more machines, the optimizer's state on
the host, smaller micro-batches, or a setting that is written and could be left out.
Source: MEM-06; docs/decisions/0062-choosing-a-layout.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import Subject
from compiler.planner.chosen import is_chosen, undecided
from compiler.planner.memory.lines import GIB

if TYPE_CHECKING:
    from compiler.planner.search.problem import Problem
    from compiler.planner.search.ways_out import WayOut

CODE = "RLC0413"
ID = "MEM-06"
_SAID_LINES = 3


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report a chosen layout that does not fit: it is the one that is least over."""
    if not is_chosen(subject.origins):
        return
    from compiler.planner.search.judge import fullness
    from compiler.planner.search.problem import problem_of
    from compiler.planner.search.ways_out import ways_out

    names = undecided(subject.origins)
    problem = problem_of(subject.experiment, subject.origins, subject.catalogue, names)
    if problem is None:
        return
    full = fullness(problem._replace(is_strict=False, headroom_frac=0.0), problem.base)
    if full.over <= 0:
        return
    lines = sorted(full.phase.lines, key=lambda line: -line.bytes)[:_SAID_LINES]
    said = ", ".join(f"{line.bytes / GIB:,.1f} of {line.name}" for line in lines)
    yield Diagnostic(
        CODE,
        f"no layout fits {problem.total:,} GPUs of {problem.gpu.memory_gib:,} GiB; the one that is least over, "
        f"{_axes(problem)}, takes {full.phase.bytes / GIB:,.1f} GiB in {full.phase.name}: {said}",
        subject.labels(
            ("model.name", "the model that is trained"),
            ("cluster.nodes", f"{problem.total:,} GPUs"),
            ("cluster.gpus_per_node", f"{problem.gpu.memory_gib:,} GiB each"),
        ),
        alternatives(*(_help(way) for way in ways_out(problem))),
        rule=ID,
        paths=("cluster.gpus_per_node", "cluster.nodes", "parallel.tp"),
        is_judgement=True,
    )


def _axes(problem: Problem) -> str:
    layout = problem.base.layout
    sizes = (("tp", layout.tp), ("pp", layout.pp), ("cp", layout.cp), ("ep", layout.ep), ("dp", layout.dp))
    return " ".join(f"{axis} {size}" for axis, size in sizes if size > 1) or "one GPU for each copy"


def _help(way: WayOut) -> Help:
    return Help(f"{way.text}        {way.note}", way.sets)
