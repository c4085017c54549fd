"""Steps of a stage that only trains: on rollouts that were recorded, as they are."""

from __future__ import annotations

import time
from collections.abc import Mapping

from runtime.recording.steps import RecordedRollouts
from runtime.schedules.trained import train
from runtime.stage_job import StageJob


class ReplaySchedule:
    """Trains on one recorded step after another; rewards, log-probs and versions are those that were recorded."""

    def __init__(self, recorded: RecordedRollouts) -> None:
        self._recorded = recorded

    async def step(self, job: StageJob) -> Mapping[str, float]:
        """Take all optimizer steps on the next rollout; return its metrics and theirs.  Raises: SpecError RLC0786."""
        started = time.perf_counter()
        found = self._recorded.read(job.progress.step + 1)
        read = time.perf_counter()
        job.progress.data_position = found.data_position
        metrics = train(job, found.groups, found.baselines)
        trained = time.perf_counter()
        samples = [sample for group in found.groups for sample in group.samples]
        job.sinks.transcripts(job.progress.step + 1, samples)
        job.view.sampled(samples)
        return {**found.metrics, **metrics, "time/read_s": read - started, "time/train_s": trained - read}
