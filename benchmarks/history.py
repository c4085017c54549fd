"""HISTORY.md, written from the results: what was measured when, on what, and whether the figures held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from benchmarks.record import Case, Figure, Report, Run
from benchmarks.rounds import MIN_QUIET_ROUNDS

_HEAD = """\
# History of measurements

Written by `./do bench` from the files in `results/`; do not edit.  Every figure is a ratio of contestants that were
measured in turn in one run: the median over rounds, over those during which other processes were quiet if there were
at least five of them.  Where there were fewer, the figure is of all rounds and marked as disturbed: it proves nothing
either way.  Times are those of a machine that others share, and say little without the ratio beside them.
"""


def history(runs: Iterable[Run]) -> str:
    """Return the page: the newest run first."""
    return "\n".join(chain([_HEAD], chain.from_iterable(_run(run) for run in reversed(list(runs)))))


def table_of(report: Report) -> str:
    """Return the figures and medians of a report."""
    rows = [
        [case.name, figure.name, _value(figure), _bound(case, figure), _rounds(case)]
        for case, figure in _figures(report)
    ]
    figures = _table(("case", "figure", "measured", "wanted", "quiet rounds"), rows)
    medians = [
        [case.name, contestant, _measurements(found)]
        for case in report.cases
        for contestant, found in case.medians.items()
    ]
    return "\n".join([*figures, "", *_table(("case", "contestant", "medians"), medians)])


def _run(run: Run) -> Iterator[str]:
    machine = ", ".join(str(value) for value in (run.machine["cpu"], f"{run.machine['cores']} cores"))
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    yield f"## {run.date}, commit {run.commit}\n\n{machine}; {versions}\n"
    for report in run.reports:
        settings = [f"{name} {value}" for name, value in report.settings.items()]
        if report.plan_hash is not None:
            settings.append(f"plan {report.plan_hash}")
        yield f"### {report.benchmark}\n\n{', '.join(settings)}\n\n{table_of(report)}\n"


def _figures(report: Report) -> Iterator[tuple[Case, Figure]]:
    for case in report.cases:
        for figure in case.figures:
            yield case, figure


def _value(figure: Figure) -> str:
    return f"{figure.value:.2f} {figure.unit}" if figure.value < 100 else f"{figure.value:.0f} {figure.unit}"


def _bound(case: Case, figure: Figure) -> str:
    if figure.bound is None:
        return ""
    doubt = "" if case.num_quiet >= MIN_QUIET_ROUNDS else ", disturbed"
    return f"{figure.sense} {figure.bound:g}: {'met' if figure.is_met else 'missed'}{doubt}"


def _rounds(case: Case) -> str:
    return f"{case.num_quiet} of {case.num_rounds}"


def _measurements(found: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name.removesuffix('_s')} {1e3 * value:.1f} ms" if name.endswith("_s") else f"{name} {value:.0f}"
        for name, value in found.items()
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
