"""Requirements about what the planner chooses: they leave layouts out, and are not first heard of afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.paths import read
from compiler.planner.chosen import BY
from compiler.planner.search.choose import choose, timed
from compiler.planner.search.judge import fits
from tests.compiler.planner.search.test_choose import everything
from tests.support.good_spec import Changes, compiled
from tests.support.left_out import LEFT_OUT, problem

SHORT: Changes = {"rollout.max_prompt_tokens": '"1Ki"'}


def required(folder: Path, that: str, changes: Changes = SHORT) -> Compiled:
    return compiled(folder, {**changes, "require": f'[{{ that = "{that}", why = "so it is" }}]'}, base=LEFT_OUT)


@pytest.mark.parametrize(
    ("that", "path"),
    [
        ("parallel.tp <= 2", "parallel.tp"),
        ("parallel.pp < 2", "parallel.pp"),
        ("parallel.cp >= 2", "parallel.cp"),
        ("placement.gpus_per_engine >= 4", "placement.gpus_per_engine"),
        ("train.packing.tokens <= 8192", "stages.0.train.packing.tokens"),
    ],
)
def test_a_layout_is_chosen_that_meets_what_is_required(tmp_path: Path, that: str, path: str) -> None:
    free = compiled(tmp_path, SHORT, base=LEFT_OUT)
    found = required(tmp_path, that)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    assert found.subject is not None
    assert free.subject is not None
    assert found.subject.origins[path].by == BY
    # Otherwise the requirement would say nothing here.
    assert read(found.plan.experiment, path) != read(free.subject.experiment, path)


def test_no_candidate_that_meets_it_is_faster(tmp_path: Path) -> None:
    """Held against a search of everything."""
    plan = required(tmp_path, "parallel.tp <= 2 and placement.gpus_per_engine >= 4").plan
    assert plan is not None
    parallel, placement = plan.experiment.parallel, plan.experiment.placement
    assert isinstance(parallel, Parallel)
    assert isinstance(placement, GpuPlacement)
    found = problem(tmp_path, SHORT)
    meeting = [one for one in everything(found) if one.layout.tp <= 2 and one.gpus_per_engine >= 4 and fits(found, one)]
    fastest = min((timed(found, one) for one in meeting), key=lambda one: one.step_s).candidate
    assert (parallel.tp, parallel.pp, parallel.cp, parallel.vpp, placement.mode, placement.gpus_per_engine) == (
        fastest.layout.tp,
        fastest.layout.pp,
        fastest.layout.cp,
        fastest.layout.vpp,
        fastest.mode,
        fastest.gpus_per_engine,
    )


def test_where_no_layout_meets_it_the_requirement_is_named_with_the_fastest_that_it_excludes(tmp_path: Path) -> None:
    found = required(tmp_path, "parallel.tp > 8")
    (fault,) = (d for d in found.diagnostics if d.severity == "error")
    assert (fault.code, fault.message) == ("RLC0320", "a requirement does not hold: so it is")
    free = problem(tmp_path, SHORT)
    best = choose(free).best
    assert best is not None
    assert fault.help[0].text.startswith(
        f"no layout that fits meets it; the fastest that does not: tp {best.candidate.layout.tp}, pp "
    )
