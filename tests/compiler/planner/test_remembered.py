"""What was computed a moment ago is taken again of the very same parts only."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.machine import Parallel
from compiler.planner.memory.experiment_facts import stage_job
from rlc.catalogue import scan
from tests.support.good_spec import GPU, compiled


def test_the_same_stage_in_another_layout_is_computed_anew(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {}, base=GPU).plan
    assert plan is not None
    experiment, gpu = plan.experiment, scan().load_hardware()["H100-80-SXM"]
    (stage,) = experiment.stages
    once = stage_job(experiment, stage, gpu)
    assert stage_job(experiment, stage, gpu) is once
    assert isinstance(experiment.parallel, Parallel)
    changed = experiment.replacing(parallel=experiment.parallel.replacing(tp=2))
    other = stage_job(changed, stage, gpu)
    assert once is not None
    assert other is not None
    assert (once.job.layout.tp, other.job.layout.tp) == (1, 2)
    smaller = stage_job(experiment, stage, gpu._replace(memory_gib=10))
    assert smaller is not None
    assert smaller.engine != once.engine
