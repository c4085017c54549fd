"""The fastest that fits: held against a search of everything, and what must hold whatever the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import Off
from compiler.planner.chosen import HEADROOM_FRAC
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.phases import HOST, phases_of
from compiler.planner.search.choose import choose, timed
from compiler.planner.search.judge import fits, fullness, stage_of
from compiler.planner.search.problem import Candidate, Problem, is_banned
from compiler.planner.search.share import share_of
from compiler.planner.search.space import layouts
from tests.compiler.planner.search.everything import everything
from tests.support.good_spec import Changes, compiled
from tests.support.left_out import LEFT_OUT, problem

MOE: Changes = {"model.name": '"//models:qwen3_30b_a3b"', "cluster.nodes": "2"}
SHARDED: Changes = {"train.engine.name": '"fsdp2"', "cluster.nodes": "2"}
LONG: Changes = {"model.name": '"//models:qwen3_8b"', "rollout.max_response_tokens": '"24Ki"'}


@pytest.mark.parametrize("changes", [{}, LONG, {**LONG, "cluster.gpus_per_node": '"4xH100-80-SXM"'}, SHARDED])
def test_nothing_that_fits_is_faster_than_what_is_chosen(tmp_path: Path, changes: Changes) -> None:
    found = problem(tmp_path, {**changes, "placement.mode": '"colocate"'})
    found = found._replace(open=found.open - {"mode"})
    best = choose(found).best
    fitting = [one for one in everything(found) if not is_banned(found, one) and fits(found, one)]
    fastest = min(timed(found, one).step_s for one in fitting)
    assert best is not None
    assert best.candidate in fitting
    assert best.step_s == pytest.approx(fastest, rel=1e-9)


def test_no_way_to_spread_experts_over_an_engine_is_faster(tmp_path: Path) -> None:
    changes: Changes = {"model.name": MOE["model.name"], "cluster.gpus_per_node": '"8xB200-180"'}
    found = problem(tmp_path, {**changes, "rollout.max_prompt_tokens": '"1Ki"', "placement.mode": '"colocate"'})
    found = found._replace(open=frozenset({"tp", "ep", "dp", "sp", "gpus_per_engine", "engine_way"}))
    best = choose(found).best
    assert best is not None
    candidates = everything(found)
    assert {one.way for one in candidates} >= {"tp", "dp"}
    fitting = [one for one in candidates if not is_banned(found, one) and fits(found, one)]
    assert best.candidate in fitting
    assert best.step_s == pytest.approx(min(timed(found, one).step_s for one in fitting), rel=1e-9)


@pytest.mark.parametrize("changes", [{}, LONG, MOE])
def test_runners_up_fit_and_come_in_order_and_what_was_turned_down_is_faster_and_does_not(
    tmp_path: Path, changes: Changes
) -> None:
    found = problem(tmp_path, changes)
    result = choose(found)
    assert result.best is not None
    order = [result.best, *result.runners_up]
    assert order == sorted(order, key=lambda one: one.step_s)
    assert all(fits(found, one.candidate) for one in order)
    shapes = {
        (one.candidate._replace(recompute=None, level=0, sharding=None, layout=one.candidate.layout._replace(vpp=1)))
        for one in order
    }
    assert len(shapes) == len(order)
    for down in result.turned_down:
        assert down.timed.step_s < result.best.step_s
        assert not fits(found, down.timed.candidate)
        assert down.fullest == fullness(found, down.timed.candidate)


@pytest.mark.parametrize("changes", [LONG, MOE])
def test_more_memory_is_never_slower(tmp_path: Path, changes: Changes) -> None:
    found = problem(tmp_path, changes)
    seconds = []
    for memory_gib in (40.0, 60.0, 79.6, 120.0, 200.0, 400.0):
        # Held at one strictness: a faster one that fits barely gives way to one that leaves some of a GPU free.
        machine = found.gpu._replace(memory_gib=memory_gib)
        best = choose(found._replace(gpu=machine, headroom_frac=0.0)).best
        seconds.append(float("inf") if best is None else best.step_s)
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < seconds[0]


@pytest.mark.parametrize("name", ["tp", "pp", "cp", "ep", "gpus_per_engine", "recompute", "tokens"])
def test_a_further_choice_is_never_slower(tmp_path: Path, name: str) -> None:
    found = problem(tmp_path, {**MOE, "cluster.gpus_per_node": '"8xH200-141-SXM"'})
    best, free = choose(found._replace(open=found.open - {name})).best, choose(found).best
    assert free is not None
    assert best is None or free.step_s <= best.step_s


def test_where_nothing_fits_what_is_least_over_is_named(tmp_path: Path) -> None:
    found = problem(tmp_path, {"model.name": '"//models:llama3_1_70b"'})
    result = choose(found)
    assert (result.best, result.runners_up) == (None, ())
    assert result.nearest is not None
    found = found._replace(is_strict=result.is_strict, headroom_frac=result.headroom_frac)
    least = min(fullness(found, one).over for one in everything(found) if not is_banned(found, one))
    assert result.nearest.fullest.over == pytest.approx(least)


def _peak_frac(found: Problem, candidate: Candidate) -> float:
    """The fullest phase over a GPU, what an engine caches aside, by the model itself."""
    jobs = (stage_of(found, facts, candidate) for facts in found.stages)
    phases = [phase for job in jobs for phase in phases_of(job, CONSTANTS) if phase.device != HOST]
    peak = max(sum(line.bytes for line in phase.lines if line.name != "KV cache") for phase in phases)
    return peak / (found.gpu.memory_gib * GIB)


def test_some_of_a_gpu_stays_free_where_it_can_and_less_only_where_nothing_else_fits(tmp_path: Path) -> None:
    short: Changes = {"rollout.max_prompt_tokens": '"1Ki"', "rollout.max_response_tokens": '"1Ki"'}
    found = problem(tmp_path, {**short, "model.name": LONG["model.name"], "placement.mode": '"colocate"'})
    found = found._replace(open=found.open - {"mode"})
    result = choose(found)
    assert result.headroom_frac == HEADROOM_FRAC
    kept = [one.candidate for one in (result.best, *result.runners_up) if one is not None]
    assert max(_peak_frac(found, one) for one in kept) <= 1 - HEADROOM_FRAC
    # Less and less memory, until what is left is not enough for some to stay free.
    tight = found
    while choose(tight).headroom_frac:
        tight = tight._replace(gpu=tight.gpu._replace(memory_gib=tight.gpu.memory_gib * 0.97))
    best = choose(tight).best
    assert best is not None
    assert fits(tight._replace(headroom_frac=0.0), best.candidate)
    assert not any(fits(tight, one) for one in everything(tight) if not is_banned(tight, one))


def test_the_memory_of_a_candidate_is_that_of_the_experiment_with_its_values(tmp_path: Path) -> None:
    found = problem(tmp_path, MOE)
    for side, each in ((("colocate", 16, 16), 4), (("split", 8, 8), 8)):
        one = next(one for one in layouts(found, side[1]) if one.ep == 4 and one.pp == 2)._replace(vpp=1)
        candidate = Candidate(*side, each, one, Recompute(), 0)
        changes: Changes = {
            **MOE,
            "placement.mode": f'"{side[0]}"',
            "placement.train_gpus": str(side[1]),
            "placement.rollout_gpus": str(side[2]),
            "placement.gpus_per_engine": str(each),
            **{f"parallel.{axis}": str(getattr(one, axis)).lower() for axis in ("tp", "sp", "pp", "cp", "ep", "etp")},
        }
        tokens = found.stages[0].stage.train.packing.tokens
        job = stage_of(found._replace(open=found.open - {"tokens"}), found.stages[0], candidate)
        share = share_of(found, job)
        changes |= {"train.packing.tokens": str(tokens), "rollout.engine.sglang.mem_fraction_static": str(share)}
        written = problem(tmp_path, changes).stages[0].job
        assert job == written


def test_the_clock_of_a_search_is_that_of_the_forecast_where_samples_may_be_late(tmp_path: Path) -> None:
    """Samples wait for training then, which depends on the other side."""
    late: Changes = {
        "placement.mode": '"split"',
        "schedule.mode": '"async"',
        "schedule.max_staleness": "1",
        "rollout.max_response_tokens": '"8Ki"',
    }
    best = choose(problem(tmp_path, late)).best
    plan = compiled(tmp_path, late, base=LEFT_OUT).plan
    assert best is not None
    assert plan is not None
    time = plan.forecast.stages[0].time
    assert not isinstance(time, Off)
    assert best.step_s == pytest.approx(time.step_seconds, rel=1e-3)
