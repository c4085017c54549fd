"""`schedule.mode = "auto"`: the fastest loop that the rest of the spec allows, held against a search of everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.experiment import Experiment
from compiler.ir.paths import read, replaced
from compiler.planner.chosen import SCHEDULE, left_out
from compiler.planner.search.choose import timed
from compiler.planner.search.judge import fits
from compiler.planner.search.problem import is_banned, problem_of
from compiler.planner.search.schedules import MODES, loops
from compiler.rules import catalogue as rules
from rlc.catalogue import scan
from tests.compiler.planner.search.everything import everything
from tests.support.good_spec import GPU, Changes, codes, compiled
from tests.support.left_out import LEFT_OUT

AUTO: Changes = {"schedule.mode": '"auto"', "rollout.max_prompt_tokens": '"1Ki"'}
RECOMPUTED: Changes = {"loss.old_logprobs": '"recompute"'}
SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4", "placement.gpus_per_engine": "1"}


def resolved(folder: Path, changes: Changes, base: dict[str, str] = LEFT_OUT) -> Experiment[object]:
    found = compiled(folder, {**AUTO, **changes}, base=base)
    assert found.plan is not None, found.diagnostics
    return found.plan.experiment


@pytest.mark.parametrize("changes", [{}, {"schedule.max_staleness": "3"}, RECOMPUTED])
def test_nothing_that_fits_under_a_legal_schedule_is_faster(tmp_path: Path, changes: Changes) -> None:
    written = {**AUTO, **changes, "placement.gpus_per_engine": "1", "train.packing.tokens": '"16Ki"'}
    found = compiled(tmp_path, written, base=LEFT_OUT)
    assert found.subject is not None
    experiment, origins = found.subject.experiment, found.subject.origins
    names = left_out(experiment, origins) - {"recompute", "vpp"}
    seconds = {}
    for mode in MODES if "loss.old_logprobs" not in changes else MODES[:1]:
        problem = problem_of(replaced(experiment, "stages.0.schedule.mode", mode), origins, scan(), names)
        assert problem is not None
        fitting = (one for one in everything(problem) if not is_banned(problem, one) and fits(problem, one))
        seconds[mode] = min(timed(problem, one).step_s for one in fitting)
    tried = {
        loop.mode: loop.found.best.step_s
        for loop in loops(experiment, origins, scan(), names)
        if loop.found is not None and loop.found.best is not None
    }
    assert tried == pytest.approx(seconds, rel=1e-9)
    assert read(experiment, "stages.0.schedule.mode") == min(seconds, key=lambda mode: seconds[mode])


def test_a_schedule_is_chosen_only_where_it_is_asked_for(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"rollout.max_prompt_tokens": '"1Ki"'}, base=LEFT_OUT)
    assert found.subject is not None
    assert SCHEDULE not in left_out(found.subject.experiment, found.subject.origins)
    assert read(found.subject.experiment, "stages.0.schedule.mode") == "sync"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (RECOMPUTED, "RLC0367"),
        ({"loss.old_logprobs": '"current"'}, "RLC0510"),
        ({"placement.mode": '"colocate"'}, "RLC0510"),
        ({"algo.name": '"remax"', "rollout.samples_per_prompt": "1", "train.global_batch": "32"}, "RLC0398"),
        ({"rollout.buffer": "{ partial = true, oversample = 1.5, max_staleness_steps = 2 }"}, "RLC0368"),
    ],
)
def test_what_the_rules_refuse_is_no_candidate_and_says_so(tmp_path: Path, changes: Changes, code: str) -> None:
    found = compiled(tmp_path, {**AUTO, **changes}, base=LEFT_OUT)
    assert found.plan is not None, found.diagnostics
    assert found.subject is not None
    experiment, origins = found.subject.experiment, found.subject.origins
    assert read(experiment, "stages.0.schedule.mode") == "sync"
    sync, *others = loops(experiment, origins, scan(), left_out(experiment, origins))
    assert (sync.why_not, [loop.found for loop in others]) == ("", [None, None])
    assert all(loop.why_not.endswith(f"({code})") for loop in others)
    behind = {**AUTO, **changes, "schedule.mode": '"async"'}
    assert code in codes(tmp_path, behind, base=LEFT_OUT)


def test_a_weight_from_the_policy_that_sampled_makes_it_a_candidate(tmp_path: Path) -> None:
    weighted: Changes = {**RECOMPUTED, "loss.mismatch.bound": '"truncate"'}
    assert read(resolved(tmp_path, weighted), "stages.0.schedule.mode") == "async"


@pytest.mark.parametrize("changes", [{}, RECOMPUTED])
def test_a_plan_with_a_chosen_schedule_is_the_plan_with_it_written(tmp_path: Path, changes: Changes) -> None:
    chosen = resolved(tmp_path, changes)
    name = read(chosen, "stages.0.schedule.mode")
    assert chosen == resolved(tmp_path, {**changes, "schedule.mode": f'"{name}"'})


def test_with_axes_that_are_written_sides_that_are_not_follow_the_schedule(tmp_path: Path) -> None:
    base = {**GPU, "parallel.tp": "2"}
    found = resolved(tmp_path, {}, base=base)
    assert read(found, "parallel.tp") == 2
    assert (read(found, "stages.0.schedule.mode"), read(found, "placement.mode")) == ("async", "split")
    kept = resolved(tmp_path, SPLIT, base=base)
    assert read(kept, "placement.train_gpus") == 4
    assert read(kept, "stages.0.schedule.mode") == "async"


def test_one_process_takes_turns(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"schedule.mode": '"auto"'})
    assert found.plan is not None
    assert read(found.plan.experiment, "stages.0.schedule.mode") == "sync"


def test_nothing_may_be_computed_from_a_schedule_that_is_to_be_chosen(tmp_path: Path) -> None:
    changes: Changes = {**AUTO, "run.max_steps": "\"${10 if schedule.mode == 'sync' else 20}\""}
    assert codes(tmp_path, changes, base=LEFT_OUT) == ["RLC0415"]


def test_every_rule_that_asks_for_the_loop_of_a_stage_is_asked_of_a_choice() -> None:
    folder = Path(rules.__file__).parent
    asks = set()
    for file in folder.rglob("*.py"):
        text = file.read_text()
        if ("schedule.lag" in text or 'schedule.mode != "async"' in text) and 'severity="warning"' not in text:
            (code,) = (line.split('"')[1] for line in text.splitlines() if line.startswith("CODE = "))
            asks.add(code)
    assert asks <= set(rules.ABOUT_LOOPS)
