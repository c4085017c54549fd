"""Runs a plan: builds the actors of each stage, picks its schedule, saves, resumes, and says how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, Never, TextIO

import torch
from safetensors.torch import load_file
from torch import Tensor

from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from compiler.ir.rollout import Rollout
from runtime.checkpoint.store import Checkpoint, CheckpointStore
from runtime.data.demonstrations import load_demonstrations
from runtime.data.order import DataOrder
from runtime.data.prompts import PromptSet, load_prompts
from runtime.data.tokenizers import TextTokenizer, load_tokenizer
from runtime.evaluation import Evaluator
from runtime.executors.inline import Actors, build_actors
from runtime.progress import Progress
from runtime.rollouts import RolloutWorker
from runtime.schedules.sync import PolicySchedule, SupervisedSchedule
from runtime.stage_job import RunInterruptedError, StageJob, Step, StopRequest
from runtime.telemetry.open_view import open_view
from runtime.telemetry.sinks import RunSinks, open_sinks
from runtime.telemetry.summary import write_summary
from runtime.telemetry.view import StageInfo, View
from runtime.weights.initial import initial_weights

Outcome = Literal["finished", "interrupted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlace:
    """Where a run reads and writes.

    `root` is the folder that the plan's paths are relative to; `stream` is where the run is shown.
    """

    root: Path
    run_dir: Path
    stream: TextIO


def run_plan(plan: Plan, place: RunPlace) -> Outcome:
    """Execute a plan, or what is left of it if the run directory holds a checkpoint.

    The environment of the plan has to be in place before this module is imported.

    Raises: SpecError for faults of data, rewards, weights and checkpoints.
    """
    torch.set_num_threads(plan.experiment.cluster.cpu_threads)
    torch.use_deterministic_algorithms(True)
    view = open_view(place.stream, clock=time.monotonic)
    stop = StopRequest()
    try:
        with _signals_ask(stop, view):
            return _Run(plan, place, view, stop).run()
    finally:
        view.close()


class _Run:
    """The state that outlives a stage."""

    def __init__(self, plan: Plan, place: RunPlace, view: View, stop: StopRequest) -> None:
        self.experiment: Experiment[Never] = plan.experiment
        self.plan, self.place, self.view, self.stop = plan, place, view, stop
        self.store = CheckpointStore(place.run_dir / "checkpoints")
        self.tokenizer: TextTokenizer = load_tokenizer(self.experiment.model, root=place.root)

    def run(self) -> Outcome:
        found = self.store.latest_valid()
        for warning in found.warnings:
            self.view.warning(f"{warning.code}: {warning.message}")
        progress, weights, resumed = self._start(found.checkpoint)
        names = [stage.name for stage in self.experiment.stages]
        sinks = open_sinks(self.experiment.log, self.place.run_dir, stages=names, resume_at=progress.metrics_offset)
        try:
            return self._stages(progress, weights, resumed, sinks)
        finally:
            sinks.close()

    def _start(
        self, checkpoint: Checkpoint | None
    ) -> tuple[Progress, Mapping[str, Tensor], Mapping[str, Tensor] | None]:
        if checkpoint is None:
            seed = self.experiment.run.seed
            return (
                Progress(plan_hash=self.plan.hash),
                initial_weights(self.experiment.model, root=self.place.root, seed=seed),
                None,
            )
        progress = Progress.from_json(checkpoint.state)
        progress.plan_hash = self.plan.hash
        weights = load_file(checkpoint.path / "model.safetensors")
        state = {**{f"model.{name}": t for name, t in weights.items()}, **checkpoint.tensors()}
        longer = progress.step < self.experiment.stages[progress.stage].run.max_steps
        is_last = progress.stage == len(self.experiment.stages) - 1
        if progress.is_stage_complete and not (is_last and longer and self._has_no_bound(progress)):
            progress.next_stage()
            return progress, weights, None
        progress.is_stage_complete = False
        return progress, weights, state

    def _has_no_bound(self, progress: Progress) -> bool:
        return isinstance(self.experiment.stages[progress.stage].until, Off)

    def _stages(
        self,
        progress: Progress,
        weights: Mapping[str, Tensor],
        resumed: Mapping[str, Tensor] | None,
        sinks: RunSinks,
    ) -> Outcome:
        while progress.stage < len(self.experiment.stages):
            stage = self.experiment.stages[progress.stage]
            actors = build_actors(self.experiment, stage, weights, root=self.place.root)
            if resumed is not None:
                actors.trainer.load_state(resumed)
                resumed = None
            job, take_step = self._job(stage, actors, progress, sinks)
            self._announce(stage, progress, sinks)
            try:
                asyncio.run(job.run(take_step))
            except RunInterruptedError:
                self.view.warning(f"stopped as asked; run the same command again to continue from step {progress.step}")
                return "interrupted"
            weights = {name: tensor.clone() for name, tensor in actors.trainer.named_weights()}
            progress.next_stage()
        self.view.finished(write_summary(self.place.run_dir, experiment=self.experiment.name))
        return "finished"

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

    def _job(self, stage: Stage[Never], actors: Actors, progress: Progress, sinks: RunSinks) -> tuple[StageJob, Step]:
        worker = self._worker(stage, actors)
        take_step, num_rows, num_dropped = self._data(stage)
        if num_dropped:
            self.view.warning(f"{num_dropped} rows of the training data are too long and were dropped")
        job = StageJob(
            experiment=self.experiment,
            stage=stage,
            actors=actors,
            tokenizer=self.tokenizer,
            order=DataOrder(num_rows, seed=stage.seeds.data, shuffle=stage.data.shuffle),
            worker=worker,
            evaluator=self._evaluator(stage, worker),
            progress=progress,
            store=self.store,
            sinks=sinks,
            view=self.view,
            stop=self.stop,
            num_dropped=num_dropped,
        )
        return job, take_step

    def _data(self, stage: Stage[Never]) -> tuple[Step, int, int]:
        rollout, root = stage.rollout, self.place.root
        if isinstance(rollout, Rollout):
            prompts = load_prompts(
                stage.data.train,
                self.tokenizer,
                root=root,
                max_prompt_tokens=rollout.max_prompt_tokens,
                overlong=rollout.overlong_prompts,
            )
            return PolicySchedule(prompts.prompts).step, len(prompts.prompts), prompts.num_dropped
        samples = not isinstance(rollout, Off)
        shown = load_demonstrations(
            stage.data.train,
            self.tokenizer,
            root=root,
            max_context_tokens=rollout.max_context_tokens if samples else self.experiment.model.max_position_tokens,
            overlong=rollout.overlong_prompts if samples else "error",
        )
        return SupervisedSchedule(shown.rows).step, len(shown.rows), shown.num_dropped

    def _worker(self, stage: Stage[Never], actors: Actors) -> RolloutWorker | None:
        if actors.engine is None or actors.reward is None or isinstance(stage.rollout, Off):
            return None
        stops = frozenset((self.tokenizer.eos_token_id, *stage.rollout.stop_token_ids))
        return RolloutWorker(actors.engine, self.tokenizer, actors.reward, stop_token_ids=stops)

    def _evaluator(self, stage: Stage[Never], worker: RolloutWorker | None) -> Evaluator | None:
        settings, rollout = stage.eval, stage.rollout
        if isinstance(settings, Off) or isinstance(rollout, Off) or worker is None:
            return None
        prompts = {}
        for measured in settings.sets:
            found: PromptSet = load_prompts(
                (measured,),
                self.tokenizer,
                root=self.place.root,
                max_prompt_tokens=rollout.max_prompt_tokens,
                overlong=rollout.overlong_prompts,
            )
            most = len(found.prompts) if isinstance(settings.max_prompts, Off) else settings.max_prompts
            prompts[measured.name] = found.prompts[:most]
        return Evaluator(
            settings, prompts, worker, seed=stage.seeds.evaluation, max_new_tokens=rollout.max_response_tokens
        )


@contextlib.contextmanager
def _signals_ask(stop: StopRequest, view: View) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM ask for a stop after the step under way; a second SIGINT ends at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.is_set = True
        view.warning("stopping after this step; a checkpoint will be saved")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
