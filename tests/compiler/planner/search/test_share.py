"""The share of a GPU that an engine is told to take: all that the memory model has left, to a hundredth."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import GpuPlacement
from compiler.ir.paths import read
from compiler.planner.chosen import BY, HEADROOM_FRAC
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.phases import HOST, StageJob, phases_of
from compiler.planner.search.choose import choose, timed
from compiler.planner.search.judge import stage_of
from compiler.planner.search.problem import Problem
from tests.support.good_spec import GPU, Changes, compiled
from tests.support.left_out import LEFT_OUT, problem

SGLANG, VLLM = "rollout.engine.sglang.mem_fraction_static", "rollout.engine.vllm.gpu_memory_utilization"
SHORT: Changes = {"rollout.max_prompt_tokens": '"1Ki"'}
ON_VLLM: Changes = {**SHORT, "rollout.engine.name": '"vllm"'}


def fullest_with(found: Problem, job: StageJob, share: float) -> float:
    """What a GPU of the engine holds at most, over all of it, with a share that is given."""
    assert job.engine is not None
    engine = job.engine._replace(pool_bytes=share * found.gpu.memory_gib * GIB, is_pool_given=True)
    phases = [one for one in phases_of(job._replace(engine=engine), CONSTANTS) if one.device != HOST]
    with_cache = [one for one in phases if any(line.name == "KV cache" for line in one.lines)]
    return max(one.bytes for one in with_cache) / (found.gpu.memory_gib * GIB)


@pytest.mark.parametrize("mode", ["colocate", "split"])
@pytest.mark.parametrize("changes", [SHORT, ON_VLLM, {**SHORT, "model.name": '"//models:qwen3_8b"'}])
def test_of_all_hundredths_it_is_the_largest_that_fits(tmp_path: Path, changes: Changes, mode: str) -> None:
    found = problem(tmp_path, {**changes, "placement.mode": f'"{mode}"'})
    best = choose(found._replace(open=found.open - {"mode"})).best
    assert best is not None
    job = stage_of(found, found.stages[0], best.candidate)
    assert job.engine is not None
    chosen = round(job.engine.pool_bytes / (found.gpu.memory_gib * GIB), 6)
    # A trainer is given room for the communicators of every axis, which are half a hundredth.
    job = job._replace(communicators=7)
    fitting = [at / 100 for at in range(30, 100) if fullest_with(found, job, at / 100) <= 1 - HEADROOM_FRAC + 1e-9]
    assert chosen == max(fitting)


def test_it_is_handed_over_and_says_where_it_comes_from(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SHORT, base=LEFT_OUT)
    assert plan.plan is not None
    assert plan.subject is not None
    path = f"stages.0.{SGLANG}"
    share = read(plan.plan.experiment, path)
    placement = plan.plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    (launch,) = (one for one in placement.launches if one.role == "rollout")
    assert f"--mem-fraction-static={share}" in launch.words
    assert plan.subject.origins[path].by == BY


def test_what_is_written_stays(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {**SHORT, SGLANG: "0.6"}, base=LEFT_OUT).plan
    assert plan is not None
    assert read(plan.experiment, f"stages.0.{SGLANG}") == 0.6


@pytest.mark.parametrize(("path", "changes"), [(SGLANG, {}), (VLLM, {"rollout.engine.name": '"vllm"'})])
def test_beside_a_layout_that_is_written_it_is_chosen_where_it_says_auto(
    tmp_path: Path, path: str, changes: Changes
) -> None:
    tight: Changes = {**changes, **SHORT, "train.packing.tokens": '"4Ki"', "parallel.tp": "2"}
    asked = compiled(tmp_path, {**tight, path: '"auto"'}, base=GPU).plan
    silent = compiled(tmp_path, tight, base=GPU).plan
    assert asked is not None
    assert silent is not None
    assert 0.5 < float(str(read(asked.experiment, f"stages.0.{path}"))) < 1
    assert asked.experiment.parallel == silent.experiment.parallel
    with pytest.raises(KeyError):
        read(silent.experiment, f"stages.0.{path}")


def test_a_smaller_share_that_is_written_is_never_faster(tmp_path: Path) -> None:
    """Sequences wait for one another where a cache cannot hold all of them."""
    many: Changes = {**SHORT, "rollout.max_response_tokens": '"24Ki"', "rollout.concurrency": "2048"}
    many |= {"model.name": '"//models:qwen3_8b"', "placement.mode": '"colocate"', "rollout.prompts_per_step": "256"}
    many |= {"train.global_batch": "2048"}
    found = problem(tmp_path, many)
    best = choose(found).best
    assert best is not None
    seconds = [
        timed(problem(tmp_path, {**many, SGLANG: str(share)}), best.candidate).rollout_s for share in (0.3, 0.5, 0.7)
    ]
    assert [*seconds, best.rollout_s] == sorted((*seconds, best.rollout_s), reverse=True)
    assert best.rollout_s < seconds[0]
