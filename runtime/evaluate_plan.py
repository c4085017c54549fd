"""Evaluates weights alone: those of a checkpoint, or those that a run would start from.  Nothing is trained."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Never

from safetensors.torch import load_file

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.data import Eval, EvalSet
from compiler.ir.evaluated import is_greedy
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from runtime.checkpoint.manifest import MODEL
from runtime.checkpoint.store import Checkpoint
from runtime.data.jsonl import num_rows_phrase
from runtime.data.tokenizers import load_tokenizer
from runtime.evaluation import build_evaluator, unmeasured
from runtime.executors.inline import build_engine, build_set_rewards
from runtime.progress import Progress
from runtime.rewards.runner import RewardRunner
from runtime.stage_data import load_heldout
from runtime.torch_process import set_up_torch
from runtime.weights.initial import initial_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What of an evaluation is asked for.

    Args:
        stage: its name, or nothing for the stage of the checkpoint, or else the nearest one that evaluates.
        sets: names; all where there are none.
        samples: for each prompt, in place of the plan's; k is then the powers of two from 2.
        prompts: at most so many of each set.
    """

    stage: str = ""
    sets: tuple[str, ...] = ()
    samples: int | None = None
    prompts: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """What was measured.

    Args:
        stage_step: steps of the stage that the weights have behind them, `global_step` those of the run.
        metrics: as a run writes them, `eval/<set>/<metric>`.
        warnings: what whoever reads the numbers should know.
    """

    stage: str
    stage_step: int
    global_step: int
    confidence: float
    sets: tuple[EvalSet[Never], ...]
    metrics: dict[str, float]
    warnings: tuple[str, ...]


def evaluate_plan(plan: Plan, checkpoint: Checkpoint | None, choice: Choice, *, root: Path) -> Evaluated:
    """Measure the weights of a checkpoint, or without one those that a run starts from.

    The environment of the plan has to be in place before this module is imported.  The same draws are made as in a
    run, so the numbers of a checkpoint are those that its run wrote after that step.

    Raises: SpecError RLC0692 without an evaluation, RLC0693 for an unknown stage or set, RLC0694 for a choice that
    cannot be measured, and for faults of data, rewards and weights.
    """
    experiment: Experiment[Never] = plan.experiment
    set_up_torch(cpu_threads=experiment.cluster.cpu_threads)
    progress = Progress(plan_hash=plan.hash) if checkpoint is None else Progress.from_json(checkpoint.state)
    index = _stage_index(experiment, progress, choice.stage)
    stage = _chosen(experiment.stages[index], choice)
    if isinstance(stage.eval, Off) or isinstance(stage.reward, Off):
        raise InternalError("the stage was chosen for its evaluation")
    tokenizer = load_tokenizer(experiment.model, root=root)
    prompts, num_overlong = load_heldout(stage, tokenizer, root=root)
    asked = {name: found for name, found in prompts.items() if not choice.sets or name in choice.sets}
    if checkpoint is None:
        weights = initial_weights(experiment.model, root=root, seed=experiment.run.seed)
    else:
        weights = load_file(checkpoint.path / MODEL)
    engine = build_engine(experiment, stage)
    if engine is None:
        raise InternalError("a stage that evaluates has an engine")
    engine.load_weights(iter(weights.items()), version=progress.global_step)
    reward, own = RewardRunner(stage.reward, root=root), build_set_rewards(stage, root=root)
    runners = (reward, *own.values())
    try:
        evaluator = build_evaluator(stage, engine, tokenizer, {n: own.get(n, reward) for n in asked}, asked)
        metrics = asyncio.run(evaluator.measure(stage=index))
    finally:
        for runner in runners:
            runner.close()
    failed = sum(runner.num_failed for runner in runners)
    unjudged = sum(runner.num_unjudged for runner in runners)
    warnings = [f"{num_rows_phrase(num_overlong)} of the held-out prompts too long"] if num_overlong else []
    last = next((f"{r.last_code}: {r.last_failure}" for r in reversed(runners) if r.num_failed), "")
    warnings += [f"{unjudged} response(s) could not be judged"] if unjudged else []
    warnings += [f"{failed} judgement(s) failed, the last of them so: {last}"] if failed else []
    warnings += unmeasured([s for s in stage.eval.sets if s.name in asked], metrics)
    return Evaluated(
        stage=stage.name,
        stage_step=progress.step if index == progress.stage else 0,
        global_step=progress.global_step,
        confidence=stage.eval.confidence,
        sets=tuple(s for s in stage.eval.sets if s.name in asked),
        metrics=metrics,
        warnings=tuple(warnings),
    )


def _stage_index(experiment: Experiment[Never], progress: Progress, name: str) -> int:
    evaluates = [i for i, stage in enumerate(experiment.stages) if not isinstance(stage.eval, Off)]
    if not evaluates:
        ways = (Help("give it [[eval.sets]] with a name and a path"),)
        raise SpecError(Diagnostic("RLC0692", f"{experiment.name} has no [eval]", help=ways))
    if not name:
        return min(evaluates, key=lambda i: (abs(i - progress.stage), i))
    names = [experiment.stages[i].name for i in evaluates]
    if name not in names:
        raise _unknown("stage that evaluates", name, names)
    return evaluates[names.index(name)]


def _chosen(stage: Stage[Never], choice: Choice) -> Stage[Never]:
    settings = stage.eval
    if isinstance(settings, Off):
        raise InternalError("the stage was chosen for its evaluation")
    names = [measured.name for measured in settings.sets]
    for name in choice.sets:
        if name not in names:
            raise _unknown("held-out set", name, names)
    sets = tuple(_changed(s, choice) if not choice.sets or s.name in choice.sets else s for s in settings.sets)
    changed: Eval[Never] = settings.replacing(sets=sets)
    return stage.replacing(eval=changed)


def _changed(measured: EvalSet[Never], choice: Choice) -> EvalSet[Never]:
    changes: dict[str, object] = {}
    if choice.prompts is not None:
        most = measured.max_prompts
        changes["max_prompts"] = choice.prompts if isinstance(most, Off) else min(most, choice.prompts)
    if choice.samples is not None:
        sampling = measured.sampling
        if choice.samples > 1 and is_greedy(sampling.temperature, sampling.top_k):
            message = f"the {choice.samples:,} responses to each prompt of {measured.name} would all be the same"
            way = Help("leave out --samples, or evaluate a spec with --set eval.sampling.temperature=0.6")
            raise SpecError(Diagnostic("RLC0694", message, help=(way,)))
        sizes = tuple(1 << power for power in range(1, choice.samples.bit_length()))
        changes |= {"samples_per_prompt": choice.samples, "k": sizes}
    return measured.replacing(**changes)


def _unknown(what: str, name: str, known: Sequence[str]) -> SpecError:
    near = nearest_names(name, known)
    ways = tuple(Help(f"did you mean {n}?") for n in near) or (Help(f"there are: {', '.join(known)}"),)
    return SpecError(Diagnostic("RLC0693", f"there is no {what} {name}", help=ways))
