"""What may change when a run is continued, field by field: the schema's flags, and what CKPT-01 makes of them."""

from __future__ import annotations

import re

from compiler.ir.paths import leaves
from compiler.rules.resume_keeps_the_experiment import check_resume
from tests.compiler.ir.changed_plans import changed_plans, quickstart

# How long, how often, how patiently, how it is logged, and counts that follow from those.
MAY_CHANGE = re.compile(
    r"log\..*|allow|launch|run\.(engine_restarts|trainer_restarts|health_interval_s|health_timeout_s)|timeouts(\..*)?|cluster\.usd_per_gpu_hour|model\.(hf_id|chat_template|published_.*|overrides|tokenizer\.name)"
    r"|stages\.\d+\.(until(\..*)?|run\.max_steps|optim\.total_steps|data\.(workers|prefetch|expected_sample_tokens)|rollout\.(filter|buffer)\.timeout_s|rollout\.expected_(p90_)?response_tokens|data\.train\.\d+\.timeout_s"
    r"|eval\.sets\.\d+\.timeout_s|eval\.interval|checkpoint\.(interval|asynchronous|keep_latest|keep_best|best_by)"
    r"|debug\.(record|verify_sync|logprob_gap\.(mean_bound|steps|action))"
    r"|reward\.(timeout_s|expected_call_s|concurrency|on_failure|failure_score|empty_responses)|budget\..*)"
)


def test_exactly_the_fields_that_must_not_change_are_refused() -> None:
    plan = quickstart()
    for path, other in changed_plans(plan):
        for old, new in ((plan, other), (other, plan)):
            found = [d for d in check_resume(old, new, where="runs/x") if d.severity == "error"]
            assert [d.paths for d in found] == ([] if MAY_CHANGE.fullmatch(path) else [(path,)])


def test_every_kind_of_permission_is_among_the_fields() -> None:
    paths = [path for path, _ in leaves(quickstart().experiment)]
    allowed = {re.sub(r"^stages\.\d+\.", "", path) for path in paths if MAY_CHANGE.fullmatch(path)}
    assert {"log.tensorboard", "until.threshold", "run.max_steps", "reward.timeout_s", "budget.samples"} <= allowed


def test_a_plan_continues_itself() -> None:
    assert list(check_resume(quickstart(), quickstart(), where="runs/x")) == []


def test_a_stage_more_or_less_is_another_experiment() -> None:
    plan = quickstart()
    shorter = plan.replacing(experiment=plan.experiment.replacing(stages=plan.experiment.stages[:1]))
    for old, new in ((plan, shorter), (shorter, plan)):
        (found,) = check_resume(old, new, where="runs/x")
        assert found.code == "RLC0312"
        assert all(path.startswith("stages.1.") for path in found.paths)
