"""Where the time of a training half goes: self time of torch's operations by what they are for, and all else.

The step is the one that is measured against TRL.  Medians of several steps, each profiled by itself; what an operation
does inside another is counted once, at the innermost.  The last line is the number of
floating-point operations of its products at the rate of one large product, measured in the same process.

python -m benchmarks.train.profile_step --threads 2
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch.profiler import profile

from benchmarks.train.plan import compiled_step
from benchmarks.train.step_rlc import WARMUP_STEPS, make_job
from runtime.protocols import Trainer
from runtime.stage_data import StageData
from runtime.stage_job import StageJob
from runtime.torch_process import set_up_torch
from stdlib.samples import TrainBatch

STEPS: Final = 7
LARGE: Final = 2048

PURPOSES: Final[Mapping[str, tuple[str, ...]]] = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::addmv_", "aten::mv"),
    "attention scores and sums": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_softmax_backward_data"),
    "gathers and scatters": (
        "aten::index_select",
        "aten::scatter_add_",
        "aten::index",
        "aten::gather",
        "aten::embedding",
        "aten::embedding_dense_backward",
        "aten::index_copy_",
        "aten::cat",
        "aten::copy_",
    ),
    "norms": ("_Norm", "_NormBackward", "aten::linalg_vector_norm", "aten::rsqrt_", "aten::addcmul_"),
    "gated product": ("_SiluTimes", "_SiluTimesBackward", "aten::silu", "aten::silu_backward"),
    "products and sums of elements": ("aten::mul", "aten::mul_", "aten::add", "aten::add_", "aten::neg", "aten::sum"),
    "optimizer": ("aten::_fused_adamw_", "Optimizer.step#AdamW.step"),
}
OTHER, OUTSIDE = "other operations", "outside of operations: Python, packing, autograd"
ORDER = (*PURPOSES, OTHER, OUTSIDE)


class WatchedTrainer:
    """A trainer whose steps are profiled; all else is the trainer's."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.steps: list[dict[str, float]] = []
        self.flops = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take a step, and keep its seconds by purpose."""
        begun = time.perf_counter()
        with profile(with_flops=True) as recorded:
            metrics = self._trainer.step(batch)
            wall_s = time.perf_counter() - begun
        events: Any = recorded.key_averages()
        self.flops = float(sum(event.flops for event in events))
        self.steps.append(by_purpose({event.key: event.self_cpu_time_total / 1e6 for event in events}, wall_s))
        return metrics


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    plan = compiled_step((f"cluster.cpu_threads={options.threads}",))
    set_up_torch(cpu_threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        job, data = make_job(plan, Path(folder))
        watched: Any = WatchedTrainer(job.actors.trained_policy())
        job.actors = replace(job.actors, learners=job.actors.learners._replace(policy=watched))
        asyncio.run(_steps(job, data))
    sys.stdout.write("\n".join(_table(watched)) + "\n")


async def _steps(job: StageJob, data: StageData) -> None:
    for _ in range(WARMUP_STEPS + STEPS):
        await data.take_step(job)


def by_purpose(seconds: Mapping[str, float], wall_s: float) -> dict[str, float]:
    """Return the seconds of each purpose, of self times by operation; what autograd is busy with itself is outside."""
    purpose_of = {name: purpose for purpose, names in PURPOSES.items() for name in names}
    found = defaultdict[str, float](float)
    for name, spent_s in seconds.items():
        if name in purpose_of or name.startswith("aten::"):
            found[purpose_of.get(name, OTHER)] += spent_s
    found[OUTSIDE] = max(0.0, wall_s - sum(found.values()))
    return dict(found)


def _table(watched: WatchedTrainer) -> list[str]:
    steps = watched.steps[WARMUP_STEPS:]
    total_s = statistics.median(sum(step.values()) for step in steps)
    rows = [(purpose, statistics.median(step.get(purpose, 0.0) for step in steps)) for purpose in ORDER]
    rows.append(("a step, under the profiler", total_s))
    rows.append(("its products at the rate of a large one", watched.flops / _flops_per_second()))
    lines = [f"| {purpose} | {spent_s * 1e3:.1f} | {spent_s / total_s:.0%} |" for purpose, spent_s in rows]
    return ["| what for | ms | share |", "| --- | --- | --- |", *lines]


def _flops_per_second() -> float:
    square = torch.ones(LARGE, LARGE)
    spent_s: list[float] = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        torch.mm(square, square)
        spent_s.append(time.perf_counter() - begun)
    return 2.0 * LARGE**3 / statistics.median(spent_s)


if __name__ == "__main__":
    main()
