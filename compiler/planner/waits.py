"""How long the waits of a job on GPUs are predicted to take, in seconds.

Of a stage that trains on data a step is predicted where the spec says how long its samples are.
"""

from __future__ import annotations

from math import ceil

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.planner.forecast import moments_of
from compiler.planner.parameters import count_parameters
from compiler.planner.time.constants import RATES
from compiler.planner.time.experiment_facts import step_job
from compiler.planner.time.step import (
    BATCH,
    LOGPROBS,
    ROLLOUT,
    SWAP,
    SYNC,
    TRAIN,
    sampling_seconds,
    step_seconds,
    waits_of,
)

STORAGE_GB_PER_S = 2.0  # that one machine reads from, or writes to, a file system that all share
_START_S, _MACHINE_S = 60.0, 1.0  # until a process has loaded its libraries, and for each machine that takes part
_GIGA = 1e9


class Waits(NamedTuple):
    """Seconds of each wait of a stage; a step that cannot be predicted has none."""

    placement: float
    weight_load: float
    checkpoint: float
    generation: float | None = None
    train_step: float | None = None
    weight_sync: float | None = None


def predicted_waits(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu | None) -> Waits:
    """Return what is predicted of a stage on GPUs, of which none may be open."""
    placement, cluster = experiment.placement, experiment.cluster
    assert isinstance(placement, GpuPlacement), "only a job on GPUs waits"
    weights = 2.0 * count_parameters(experiment.model)
    nodes = ceil(placement.train_gpus / max(1, cluster.num_gpus // cluster.nodes))
    waits = Waits(
        placement=_START_S + _MACHINE_S * cluster.nodes,
        weight_load=weights / (STORAGE_GB_PER_S * _GIGA),
        checkpoint=checkpoint_bytes(experiment, stage) / (STORAGE_GB_PER_S * _GIGA * nodes),
    )
    if isinstance(stage.rollout, Off):
        waits = waits._replace(generation=0.0, weight_sync=0.0)  # of engines, which there are none of
    job = None if gpu is None else step_job(experiment, stage, gpu)
    if job is None:
        return waits
    seconds = step_seconds(job, RATES)
    trained = seconds.of(BATCH) + seconds.of(TRAIN) + seconds.of(LOGPROBS)
    sampled = waits.generation
    if job.sampling is not None:
        # Where batches overlap, one takes longer than the step in which it is ready.
        found = sampling_seconds(job.sampling, RATES)
        sampled = max(seconds.of(ROLLOUT), found.batch) + sum(one for _, one in waits_of(job.sampling, found))
    handed = seconds.of(SWAP) + seconds.of(SYNC)
    return waits._replace(generation=sampled, train_step=trained, weight_sync=handed)


def checkpoint_bytes(experiment: Experiment[Any], stage: Stage[Any]) -> float:
    """Return the bytes of a checkpoint: weights in bf16, and in fp32 a copy of them and what the update rule keeps."""
    return count_parameters(experiment.model) * (2.0 + 4.0 + 4.0 * moments_of(stage.optim))
