"""Runs a plan: builds the actors of each stage, picks its schedule, saves, resumes, and says how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple, Never, TextIO
from urllib.parse import quote

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.algorithm import TaughtParams
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from runtime.algorithm_functions import AlgorithmFunctions, load_algorithm_functions
from runtime.buffer.rollout_buffer import RolloutBuffer
from runtime.buffer.saved import PREFIX, STATE, is_kept, restored
from runtime.checkpoint.store import Checkpoint, CheckpointStore
from runtime.checkpoint.writer import CheckpointWriter
from runtime.data.jsonl import num_rows_phrase
from runtime.data.tokenizers import TextTokenizer, load_tokenizer
from runtime.environments.known import documents_of
from runtime.evaluation import build_evaluator, build_worker
from runtime.executors.inline import Actors, weights_at_the_start
from runtime.executors.open_executor import Executor, open_executor
from runtime.faults.restarts import Restarts
from runtime.heldout import held_out_measures
from runtime.progress import Progress
from runtime.protocols import Measure
from runtime.recording.origin import origin_of, settings_of
from runtime.recording.steps import RecordedRollouts, RolloutRecorder
from runtime.rollouts import RolloutWorker
from runtime.schedules.replayed import ReplaySchedule
from runtime.stage_data import StageData, check_rewards, load_stage_data
from runtime.stage_job import RunInterruptedError, StageJob, StopRequest, is_complete
from runtime.stage_warnings import StageWarnings
from runtime.telemetry.metrics_file import MetricsFile
from runtime.telemetry.open_view import Look, open_view
from runtime.telemetry.sinks import RunSinks, open_sinks
from runtime.telemetry.summary import write_summary
from runtime.telemetry.timeline import TimelineFile
from runtime.telemetry.view import StageInfo, View
from runtime.torch_process import set_up_torch
from runtime.weights.teacher import check_teacher

Outcome = Literal["finished", "interrupted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlace:
    """Where a run reads and writes.

    `root` is the folder that the plan's paths are relative to; `stream` is where the run is shown, with that look.
    """

    root: Path
    run_dir: Path
    stream: TextIO
    look: Look = field(default_factory=Look)


def run_plan(plan: Plan, place: RunPlace) -> Outcome:
    """Execute a plan, or what is left of it if the run directory holds a checkpoint.

    The environment of the plan has to be in place before this module is imported.

    Raises: SpecError for faults of data, rewards, weights and checkpoints.
    """
    set_up_torch(cpu_threads=plan.experiment.cluster.cpu_threads)
    view = open_view(place.stream, clock=time.monotonic, look=place.look)
    stop = StopRequest()
    try:
        with _signals_ask(stop, view):
            return _Run(plan, place, view, stop).run()
    finally:
        view.close()


class _Start(NamedTuple):
    """Where a run begins.

    `state` is that of the trainer in the middle of a stage, or None at the start of one, and `buffer` what waits there.
    """

    progress: Progress
    weights: Mapping[str, Tensor]
    state: Mapping[str, Tensor] | None
    buffer: RolloutBuffer


class _Run:
    """The state that outlives a stage."""

    def __init__(self, plan: Plan, place: RunPlace, view: View, stop: StopRequest) -> None:
        self.experiment: Experiment[Never] = plan.experiment
        self.plan, self.place, self.view, self.stop = plan, place, view, stop
        self.store = CheckpointStore(place.run_dir / "checkpoints")
        self.writer = CheckpointWriter(self.store)
        self.functions: dict[int, AlgorithmFunctions] = {}
        self.replays: dict[int, ReplaySchedule] = {}
        self.tokenizer: TextTokenizer = load_tokenizer(self.experiment.model, root=place.root)
        self.executor = self._new_executor()

    def run(self) -> Outcome:
        run = self.experiment.run
        restarts = Restarts(run.trainer_restarts if run.executor == "ray" else 0)
        while True:
            try:
                return self._run()
            except SpecError as fault:
                if self.stop.is_set:
                    raise
                told = restarts.take(fault)
            finally:
                self.executor.close()
            self.view.warning(f"{told.code}: {told.message}")
            self.executor = self._new_executor()
            self.writer = CheckpointWriter(self.store)

    def _new_executor(self) -> Executor:
        place = self.place
        return open_executor(self.experiment, root=place.root, run_dir=place.run_dir, tell=self.view.warning)

    def _run(self) -> Outcome:
        found = self.store.latest_valid()
        for warning in found.warnings:
            self.view.warning(f"{warning.code}: {warning.message}")
        start = self._start(found.checkpoint)
        if start.progress.stage == len(self.experiment.stages):
            return self._finished_before(start.progress)
        # What every stage reads is read before anything is trained, and before metrics.jsonl is cut back.
        data = self._all_data(start)
        self.store.discard_unfinished()
        names = [stage.name for stage in self.experiment.stages]
        resume_at = start.progress.metrics_offset
        sinks = open_sinks(self.experiment.log, self.place.run_dir, stages=names, resume_at=resume_at)
        try:
            if self._stages(start, data, sinks) == "interrupted":
                return "interrupted"
        finally:
            self.writer.close()
            sinks.close()
        self.view.finished(write_summary(self.place.run_dir, experiment=self.experiment.name))
        return "finished"

    def _start(self, checkpoint: Checkpoint | None) -> _Start:
        if checkpoint is None:
            read = partial(weights_at_the_start, self.experiment, root=self.place.root)
            weights = self.executor.start(read)
            return _Start(Progress(plan_hash=self.plan.hash), weights, None, RolloutBuffer())
        progress = Progress.from_json(checkpoint.state)
        progress.plan_hash = self.plan.hash
        weights = self.executor.start(checkpoint.weights)
        stage = self.experiment.stages[progress.stage]
        if is_complete(stage, progress):
            progress.next_stage()
            return _Start(progress, weights, None, RolloutBuffer())
        buffer = RolloutBuffer()
        if is_kept(stage):
            waiting = {name: tensor for name, tensor in checkpoint.tensors().items() if name.startswith(PREFIX)}
            buffer = restored(checkpoint.state.get(STATE), waiting)
        return _Start(progress, weights, self.executor.start(partial(_whole_state, checkpoint)), buffer)

    def _finished_before(self, progress: Progress) -> Outcome:
        MetricsFile.truncate(self.place.run_dir / "metrics.jsonl", progress.metrics_offset)
        summary = write_summary(self.place.run_dir, experiment=self.experiment.name)
        self.view.warning("this run had finished before: there was nothing left to do")
        self.view.finished(summary)
        return "finished"

    def _all_data(self, start: _Start) -> dict[int, StageData]:
        first = start.progress.stage
        found: dict[int, StageData] = {}
        for index, stage in enumerate(self.experiment.stages[first:], first):
            found[index] = load_stage_data(stage, self.experiment.model, self.tokenizer, root=self.place.root)
            check_rewards(stage, found[index], root=self.place.root)
            self.functions[index] = load_algorithm_functions(stage, root=self.place.root, warn=self.view.warning)
            self._check_recording(index, stage)
            if isinstance(stage.algorithm, TaughtParams):
                check_teacher(stage.algorithm.teacher, self.tokenizer, root=self.place.root)
        before = start.progress.data_digest
        if before and before != found[first].digest:
            raise SpecError(_other_data(self.experiment.stages[first], before, found[first].digest))
        return found

    def _stages(self, start: _Start, data: Mapping[int, StageData], sinks: RunSinks) -> Outcome:
        progress, weights, state, buffer = start
        while True:
            stage = self.experiment.stages[progress.stage]
            actors = self.executor.begin(progress.stage, weights)
            try:
                if state is not None:
                    actors.load_state(state)
                job = self._job(stage, actors, progress, data[progress.stage], sinks)
                job.buffer = buffer
                self._announce(stage, progress, sinks)
                data[progress.stage].feed.start(progress.data_position)
                replay = self.replays.get(progress.stage)
                asyncio.run(job.run(data[progress.stage].take_step if replay is None else replay.step))
            except RunInterruptedError:
                return self._interrupted(stage, progress)
            finally:
                data[progress.stage].feed.close()
                for runner in actors.rewards():
                    runner.close()
            if progress.stage == len(self.experiment.stages) - 1:
                return "finished"
            if self.stop.is_set:
                return self._interrupted(stage, progress)
            weights = self.executor.handed_on(actors, self.store)
            state, buffer = None, RolloutBuffer()
            progress.next_stage()

    def _interrupted(self, stage: Stage[Never], progress: Progress) -> Outcome:
        self.view.warning(
            f"stopped as asked after step {progress.step} of stage {stage.name}, and saved; "
            "run the same command again to continue"
        )
        return "interrupted"

    def _announce(self, stage: Stage[Never], progress: Progress, sinks: RunSinks) -> None:
        until = stage.until
        bound = "" if isinstance(until, Off) else f"{until.metric} {until.op} {until.threshold:g}"
        self.view.stage_started(
            StageInfo(
                experiment=self.experiment.name,
                number=progress.stage + 1,
                num_stages=len(self.experiment.stages),
                name=stage.name,
                algorithm=stage.algorithm.algo.name,
                max_steps=stage.run.max_steps,
                until=bound,
                past=[row for row in sinks.kept if row.get("stage") == stage.name],
            )
        )

    def _job(
        self, stage: Stage[Never], actors: Actors, progress: Progress, data: StageData, sinks: RunSinks
    ) -> StageJob:
        cuts = not isinstance(stage.rollout, Off) and stage.rollout.overlong_prompts == "truncate"
        for count, what in ((data.num_overlong, "training data"), (data.heldout.num_overlong, "held-out data")):
            if count:
                done = "cut at the front" if cuts else "dropped"
                self.view.warning(f"RLC0605: {num_rows_phrase(count)} of the {what} too long and {done}")
        if data.dropped.first is not None:
            first, count = data.dropped.first, num_rows_phrase(data.dropped.count)
            self.view.warning(
                f"{first.code}: {count} of the training data malformed and dropped, first: {first.message}"
            )
        progress.data_digest = data.digest
        worker = self._worker(stage, actors, data)
        return StageJob(
            experiment=self.experiment,
            stage=stage,
            actors=actors,
            functions=self.functions[progress.stage],
            tokenizer=self.tokenizer,
            worker=worker,
            measures=self._measures(stage, actors, data),
            progress=progress,
            of_data=data.metrics(),
            writer=self.writer,
            sinks=sinks,
            view=self.view,
            stop=self.stop,
            warnings=StageWarnings(stage, self.view),
            recorder=self._recorder(stage),
            timelines=TimelineFile(self.place.run_dir, self._devices()),
        )

    def _devices(self) -> dict[str, str]:
        """Return where each actor is that a timeline shows."""
        found: dict[str, list[str]] = {}
        for role in self.experiment.placement.roles:
            called = "engine" if role.role == "rollout" else role.role
            found.setdefault(called, []).append(
                f"{role.device}" if not role.node else f"node {role.node} {role.device}"
            )
        return {
            name: some[0] if len(some) == 1 else f"{some[0]} and {len(some) - 1} more" for name, some in found.items()
        }

    def _check_recording(self, index: int, stage: Stage[Never]) -> None:
        """Open the recording that a stage trains on, where it does."""
        if isinstance(stage.debug, Off) or isinstance(stage.debug.replay, Off):
            return
        folder = self.place.root / stage.debug.replay
        origin, settings = origin_of(self.experiment, stage, self.tokenizer), settings_of(stage, self.tokenizer)
        recorded = RecordedRollouts(folder, origin, num_steps=stage.run.max_steps)
        if changed := recorded.changed(settings):
            more = f", and {len(changed) - 1:,} more" if len(changed) > 1 else ""
            told = f"{folder} was recorded under other settings: {changed[0]}{more}"
            self.view.warning(f"RLC0755: stage {stage.name}: {told}")
        self.replays[index] = ReplaySchedule(recorded)

    def _recorder(self, stage: Stage[Never]) -> RolloutRecorder | None:
        if isinstance(stage.debug, Off) or not stage.debug.record:
            return None
        folder = self.place.run_dir / "rollouts" / quote(stage.name, safe="")
        origin = origin_of(self.experiment, stage, self.tokenizer)
        return RolloutRecorder(folder, origin, settings_of(stage, self.tokenizer))

    def _worker(self, stage: Stage[Never], actors: Actors, data: StageData) -> RolloutWorker | None:
        is_judged = actors.reward is not None or isinstance(stage.algorithm, TaughtParams)
        if actors.engine is None or not is_judged or isinstance(stage.rollout, Off):
            return None
        return build_worker(stage, actors.engine, self.tokenizer, actors.reward, data.environment, is_evaluation=False)

    def _measures(self, stage: Stage[Never], actors: Actors, data: StageData) -> list[Measure]:
        heldout = data.heldout
        found = held_out_measures(stage, actors.learners, heldout, pad_token_id=self.tokenizer.pad_token_id)
        if actors.engine is not None and actors.reward is not None and heldout.prompts:
            judges = {name: actors.set_rewards.get(name, actors.reward) for name in heldout.prompts}
            engine, prompts = actors.engine, heldout.prompts
            found.insert(0, build_evaluator(stage, engine, self.tokenizer, judges, prompts, data.environment))
        return found


def _whole_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """All that a trainer goes on from; what waits in a buffer is not the trainer's."""
    others = {name: tensor for name, tensor in checkpoint.tensors().items() if not name.startswith(PREFIX)}
    return {**{f"model.{name}": tensor for name, tensor in checkpoint.weights().items()}, **others}


def _other_data(stage: Stage[Never], before: str, now: str) -> Diagnostic:
    """Say which of the two parts of a digest has changed: rows, or documents that the environment searches."""
    is_same_rows = before.partition(" ")[0] == now.partition(" ")[0]
    files = documents_of(stage) if is_same_rows else [source.called for source in stage.data.train]
    what = (
        f"what the environment of stage {stage.name} searches"
        if is_same_rows
        else f"the training data of stage {stage.name}"
    )
    return Diagnostic(
        "RLC0663",
        f"{what} is not what it was when the checkpoint was written: {', '.join(files)}",
        help=(Help("put back the files that the run was started with"), Help("or start in another run directory")),
        paths=("environment",) if is_same_rows else ("data.train",),
    )


@contextlib.contextmanager
def _signals_ask(stop: StopRequest, view: View) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM ask for a stop after the step under way; a second one ends at once.

    Signals reach the main thread only: a run in another thread of somebody's program leaves them to it.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.is_set = True
        # In a thread: the signal may have come in the middle of a write to the stream that the view shows itself on.
        threading.Thread(target=view.warning, args=("stopping after this step; a checkpoint will be saved",)).start()

    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
