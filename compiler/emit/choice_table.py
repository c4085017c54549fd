"""Why this layout and not another: what `rlc plan --explain-choice` prints.

A row for what was chosen, or for what is written; for those that come next; and for faster ones that do not fit, with
the phase that is too full.  Below it, what each thing that is written costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.printable import printable
from compiler.ir.subject import Subject
from compiler.planner.chosen import HEADROOM_FRAC, SCHEDULE, is_chosen, left_out
from compiler.planner.memory.lines import GIB
from compiler.planner.search.choose import Choice, Timed, choose, described, timed
from compiler.planner.search.constraint_costs import ConstraintCost, constraint_costs
from compiler.planner.search.judge import fullness, stage_of
from compiler.planner.search.problem import Candidate, Problem, problem_of
from compiler.planner.search.schedules import fastest, loops
from compiler.planner.search.share import share_of
from compiler.planner.search.space import tokens_at

_COLUMNS = (
    ("", ""),
    ("step", "s"),
    ("train", "s"),
    ("rollout", "s"),
    ("others", "s"),
    ("peak", "GiB"),
    ("", "placement"),
    ("GPUs of", "engine"),
    ("its", "share"),
    *(("", axis) for axis in ("tp", "pp", "vpp", "cp", "ep", "etp", "dp", "sp")),
    ("micro-batch", "tokens"),
    ("computed", "again"),
    ("", ""),
)
_HEAD = (tuple(above for above, _ in _COLUMNS), tuple(below for _, below in _COLUMNS))
_SAME_S = 5e-4  # a difference of a step that is not worth a word


def choice_table(subject: Subject, *, ascii_only: bool = False) -> str:
    """Return the table.  Raises: SpecError RLC0414 where there is no layout to choose."""
    names = left_out(subject.experiment, subject.origins) if is_chosen(subject.origins) else frozenset[str]()
    problem = problem_of(subject.experiment, subject.origins, subject.catalogue, names)
    if problem is None:
        target = subject.experiment.cluster.target
        way = Help("name a target with GPUs, and how many: cluster.gpus_per_node")
        raise SpecError(Diagnostic("RLC0414", f"on target {target} there is no layout to choose", help=(way,)))
    found = choose(problem)
    problem = problem._replace(is_strict=found.is_strict, headroom_frac=found.headroom_frac)
    own = timed(problem, problem.base) if found.best is None else found.best
    said = [_headroom(found)] if problem.open and found.best is not None else []
    lines = [_title(problem, found), *said, "", *_aligned([*_HEAD, *_rows(problem, own, found)]), ""]
    lines += _schedules(subject, names)
    lines += _costs(own, tuple(constraint_costs(problem)))
    return "\n".join(printable(line, ascii_only=ascii_only).rstrip() for line in lines)


def _schedules(subject: Subject, names: frozenset[str]) -> Iterator[str]:
    """Yield each schedule with its fastest step, or why it was not tried, where that was chosen too."""
    if SCHEDULE not in names:
        return
    experiment, origins = subject.experiment, subject.origins
    tried = loops(experiment, origins, subject.catalogue, names)
    best = fastest(tried)
    yield "schedules, each with the fastest layout that it has; what older samples cost in learning is not weighed"
    rows = []
    for loop in tried:
        found = None if loop.found is None else loop.found.best
        said = f"{found.step_s:,.2f} s: {described(found).rpartition(': ')[0]}" if found else "nothing fits"
        said = f"not a candidate: {loop.why_not}" if loop.why_not else said
        rows.append((">" if loop is best else "", loop.mode, said))
    yield from _aligned(rows)
    yield ""


def _title(problem: Problem, found: Choice) -> str:
    gpus = f"{problem.total:,} GPUs {problem.gpu.name} of {problem.gpu.memory_gib:,} GiB"
    if not problem.open:
        return f"the layout is written, and nothing was chosen; {gpus}"
    return f"chosen of {found.num_legal:,} legal ways to spread training over {gpus}"


def _headroom(found: Choice) -> str:
    if found.headroom_frac:
        return f"each of them leaves {found.headroom_frac:.0%} of a GPU free, an engine's cache aside"
    return f"none leaves {HEADROOM_FRAC:.0%} of a GPU free, so these are what fits at all"


def _rows(problem: Problem, own: Timed, found: Choice) -> Iterator[tuple[str, ...]]:
    yield _row(problem, own, ">", "chosen" if problem.open else "as written")
    for one in found.runners_up:
        yield _row(problem, one, "", f"{(one.step_s / own.step_s - 1):.1%} slower")
    for down in found.turned_down:
        full = down.fullest
        what = "leaves too little" if full.phase.bytes <= problem.gpu.memory_gib * GIB else "does not fit"
        why = f"{what}: {full.phase.name} takes {full.phase.bytes / GIB:,.1f} GiB"
        yield _row(problem, down.timed, "", why)


def _row(problem: Problem, one: Timed, mark: str, why: str) -> tuple[str, ...]:
    candidate, layout = one.candidate, one.candidate.layout
    side = candidate.mode
    if side == "split":
        side = f"{candidate.train_gpus:,} train, {candidate.rollout_gpus:,} generate"
    tokens = tokens_at(problem, problem.stages[0], layout, candidate.level)
    axes = (layout.tp, layout.pp, layout.vpp, layout.cp, layout.ep, layout.etp, layout.dp)
    return (
        mark,
        f"{one.step_s:,.2f}",
        f"{one.train_s:,.2f}",
        f"{one.rollout_s:,.2f}" if problem.samples else "-",
        f"{one.both_s:,.2f}",
        f"{fullness(problem, candidate).phase.bytes / GIB:,.1f}",
        side,
        _engine(candidate) if problem.samples else "-",
        _share(problem, candidate),
        *(f"{size:,}" for size in axes),
        "yes" if layout.sp else "no",
        f"{tokens:,.0f}",
        _again(problem, candidate),
        why,
    )


def _again(problem: Problem, candidate: Candidate) -> str:
    """What is computed again, and what FSDP2 does otherwise than by default."""
    job = problem.stages[0].job.job
    again, sharding = candidate.recompute or job.recompute, candidate.sharding or job.storage.sharding
    said = [again.granularity if again.granularity != "selective" else ", ".join(again.modules)]
    if sharding.kept_frac == 1:
        said.append("weights kept")
    if sharding.groups > 1:
        said.append(f"{sharding.groups:,} groups of shards")
    return "; ".join(said)


def _share(problem: Problem, candidate: Candidate) -> str:
    """The share of a GPU that the first stage's engine is told to take."""
    share = share_of(problem, stage_of(problem, problem.stages[0], candidate))
    return "-" if share is None else f"{share:.2f}"


def _engine(candidate: Candidate) -> str:
    return f"{candidate.gpus_per_engine:,}" + ("" if candidate.way == "tp" else f" {candidate.way}")


def _costs(own: Timed, costs: Sequence[ConstraintCost]) -> Iterator[str]:
    if not costs:
        yield "nothing of the layout is written: there is no constraint to pay for"
        return
    yield "what each constraint costs, in seconds of a step"
    rows = [("", cost.text, _cost(own, cost)) for cost in costs]
    yield from _aligned(rows)


def _cost(own: Timed, cost: ConstraintCost) -> str:
    if cost.free_step_s is None:
        return "nothing fits without it either"
    less = own.step_s - cost.free_step_s
    return "nothing" if less < _SAME_S else f"{less:,.2f} s: without it a step takes {cost.free_step_s:,.2f} s"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    for row in rows:
        cells = [
            cell if at == last else cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells)


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and "train" not in cell
