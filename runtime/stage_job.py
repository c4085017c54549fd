"""One stage under way: its actors and data, and what happens around every step.

The schedules decide what a step is; here is what surrounds it: rows, evaluations, the bound that ends a stage early,
checkpoints, and the wish to stop.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import Until
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from runtime.algorithm_functions import AlgorithmFunctions
from runtime.buffer.rollout_buffer import RolloutBuffer
from runtime.buffer.saved import STATE, is_kept, saved
from runtime.checkpoint.parts import Apart, Part
from runtime.checkpoint.retention import retention_of
from runtime.checkpoint.writer import CheckpointWriter, Snapshot
from runtime.data.tokenizers import TextTokenizer
from runtime.environments.episodes import last_words
from runtime.executors.inline import Actors
from runtime.logprob_gap import alarm
from runtime.progress import Progress
from runtime.protocols import Measure
from runtime.recording.steps import RolloutRecorder
from runtime.rollouts import RolloutWorker
from runtime.stage_warnings import StageWarnings
from runtime.telemetry.rows import Row
from runtime.telemetry.sinks import RunSinks
from runtime.telemetry.timeline import Timeline, TimelineFile
from runtime.telemetry.view import View
from runtime.weights.huggingface import save_model, write_settings

Step = Callable[["StageJob"], Awaitable[Mapping[str, float]]]


class StopRequest:
    """Set by a signal, read between steps."""

    def __init__(self) -> None:
        self.is_set = False


class RunInterruptedError(Exception):
    """The run was asked to stop, and a checkpoint has been saved."""


def is_complete(stage: Stage[Never], progress: Progress) -> bool:
    """Whether a stage has taken all its steps, or what was measured after the last one meets its bound."""
    return progress.step >= stage.run.max_steps or _bound_is_met(stage, progress)


@dataclass(kw_only=True, slots=True)
class StageJob:
    """What a schedule works with.

    `of_data` is what the first row says of the data; `buffer` is empty where no group waits for a later step, and
    `recorder` is there where [debug] record is on.  `timeline` is that of the step under way.
    """

    experiment: Experiment[Never]
    stage: Stage[Never]
    actors: Actors
    functions: AlgorithmFunctions
    tokenizer: TextTokenizer
    worker: RolloutWorker | None
    measures: Sequence[Measure]
    progress: Progress
    writer: CheckpointWriter
    sinks: RunSinks
    view: View
    stop: StopRequest
    warnings: StageWarnings
    of_data: Mapping[str, float] = field(default_factory=dict)
    buffer: RolloutBuffer = field(default_factory=RolloutBuffer)
    recorder: RolloutRecorder | None = None
    timeline: Timeline = field(default_factory=Timeline)
    timelines: TimelineFile | None = None
    _synced: int = field(default=-1)
    _verified: bool = field(default=False)

    async def run(self, take_step: Step) -> None:
        """Take steps until the stage is complete.  Raises: RunInterruptedError after saving, if asked to stop."""
        if self._is_due_at_start():
            await self._evaluate()
            if is_complete(self.stage, self.progress):
                self.save()
        while not is_complete(self.stage, self.progress):
            if self.stop.is_set:
                self.save()
                raise RunInterruptedError
            await self._step(take_step)

    def sync(self) -> float:
        """Send the trainer's weights to the engine if it holds older ones, and return the seconds that it took."""
        version = self.progress.weights_version
        if self.actors.send_weights is None or self._synced == version:
            return 0.0
        started = time.perf_counter()
        debug = self.stage.debug
        verifies = not self._verified or (not isinstance(debug, Off) and debug.verify_sync == "every")
        self.actors.send_weights(version, verify=verifies)
        self._synced, self._verified = version, True
        return time.perf_counter() - started

    def save(self, *, waits: bool = True) -> None:
        """Write a checkpoint of this moment; without `waits` it may be on the disk only after later steps."""
        self.progress.metrics_offset = self.sinks.metrics_offset
        model, others = self._written_apart() if self.actors.apart else self._written_here()
        told = self.progress.to_json()
        if is_kept(self.stage):
            waiting = saved(self.buffer)
            others.update(waiting.tensors)
            told[STATE] = waiting.state
        settings = self.stage.checkpoint
        snapshot = Snapshot(
            step=self.progress.global_step,
            tensors=others,
            state=told,
            model=model,
            keeps=retention_of(settings),
        )
        self.writer.write(snapshot, waits=waits or not settings.asynchronous)

    def _written_here(self) -> tuple[Callable[[Path], None], dict[str, Tensor]]:
        """Return what writes the model, and what else the trainer holds."""
        state = self.actors.state()
        weights = {n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")}

        def write_model(directory: Path) -> None:
            save_model(directory, weights, model=self.experiment.model, tokenizer=self.tokenizer)

        return write_model, {n: t for n, t in state.items() if not n.startswith("model.")}

    def _written_apart(self) -> tuple[Apart, dict[str, Tensor]]:
        """Return who writes the model and all else that is trained; this process holds none of it."""
        groups = self.actors.apart

        def begin(folder: Path) -> None:
            for group in groups:
                group.save_begins(folder)

        def write(folder: Path, names: Collection[str], dtype: str) -> None:
            write_settings(folder, names, model=self.experiment.model, tokenizer=self.tokenizer, dtype=dtype)

        def end() -> list[Part]:
            return [part for group in groups for part in group.save_ends()]

        return Apart(begin=begin, end=end, write_settings=write), {}

    def row(self, values: Mapping[str, float]) -> Row:
        """Return a row of metrics with its place in the run."""
        at = {"stage": self.stage.name, "step": self.progress.step, "global_step": self.progress.global_step}
        return {**at, **values}

    async def _step(self, take_step: Step) -> None:
        progress, started = self.progress, time.perf_counter()
        of_data = self.of_data if progress.step == 0 else {}
        self.timeline = Timeline()
        metrics = await take_step(self)
        progress.step += 1
        progress.global_step += 1
        progress.measured.clear()
        row = self.row({**metrics, **of_data, "time/step_s": time.perf_counter() - started})
        self.sinks.write(row)
        self.view.step(row)
        if self.timelines is not None:
            self.timelines.write(self.stage.name, progress.step, self.timeline)
        self.warnings.of_step(progress.step, metrics)
        self.warnings.of_episodes(progress.step, last_words(self.worker.episodes if self.worker else None, metrics))
        self.warnings.of_judgements(progress.step, self.actors.rewards())
        wide = alarm(self.stage, progress, metrics)
        if wide is not None and wide.severity == "error":
            raise SpecError(wide)
        if wide is not None:
            self.warnings.of_diagnostic(progress.step, wide)
        if self._is_due():
            await self._evaluate()
        if progress.step >= self.stage.run.max_steps and not _bound_is_met(self.stage, progress):
            self.warnings.of_missed_bound(progress.step, progress.measured)
        interval, ends = self.stage.checkpoint.interval, is_complete(self.stage, progress)
        if ends or (not isinstance(interval, Off) and progress.step % interval == 0):
            self.save(waits=ends)

    def _is_due_at_start(self) -> bool:
        # A stage that was asked to stop before its first step has been measured already.
        is_new = self.progress.step == 0 and not self.progress.measured
        return is_new and not isinstance(self.stage.eval, Off) and self.stage.eval.at_start

    def _is_due(self) -> bool:
        if isinstance(self.stage.eval, Off):
            return False
        interval, step = self.stage.eval.interval, self.progress.step
        return step >= self.stage.run.max_steps or (not isinstance(interval, Off) and step % interval == 0)

    async def _evaluate(self) -> None:
        if not self.measures:
            return
        started = time.perf_counter()
        self.sync()
        found = [await measure.measure(stage=self.progress.stage) for measure in self.measures]
        self.progress.measured = {name: value for part in found for name, value in part.items()}
        judges = self.actors.rewards()
        failed = {"eval/failed_judgements": sum(judge.take_metrics()["reward/failed"] for judge in judges)}
        times = {**(failed if judges else {}), "time/eval_s": time.perf_counter() - started}
        row = self.row({**self.progress.measured, **times})
        self.sinks.write(row)
        self.view.evaluated(row)
        self.warnings.of_judgements(self.progress.step, self.actors.rewards())
        self.warnings.of_evaluation(self.progress.step, self.progress.measured)


def _bound_is_met(stage: Stage[Never], progress: Progress) -> bool:
    until = stage.until
    return (
        not isinstance(until, Off)
        and until.metric in progress.measured
        and _compare(progress.measured[until.metric], until)
    )


def _compare(value: float, until: Until) -> bool:
    if until.op == ">=":
        return value >= until.threshold
    if until.op == ">":
        return value > until.threshold
    return value <= until.threshold if until.op == "<=" else value < until.threshold
