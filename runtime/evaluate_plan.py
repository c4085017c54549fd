"""Evaluates weights alone: those of a checkpoint, or those that a run would start from.  Nothing is trained."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Never, TypeVar

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.data import Eval, EvalSet, PairEval, PreferenceEval, ScoredEval
from compiler.ir.evaluated import is_greedy, pair_sets, sampled_sets, scored_sets
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import PreferenceLoss
from compiler.ir.openness import Off
from compiler.ir.plan import Plan
from runtime.checkpoint.store import Checkpoint
from runtime.data.jsonl import num_rows_phrase
from runtime.data.tokenizers import load_tokenizer
from runtime.environments.opened import OpenEnvironment, check_prompts, open_environment
from runtime.evaluation import build_evaluator, unmeasured
from runtime.executors.inline import build_engine, build_learners, build_set_rewards, weights_at_the_start
from runtime.heldout import held_out_measures
from runtime.progress import Progress
from runtime.rewards.runner import RewardRunner
from runtime.stage_data import HeldOutData, load_heldout
from runtime.torch_process import set_up_torch
from stdlib.samples import Prompt

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What of an evaluation is asked for.

    Args:
        stage: its name, or nothing for the stage of the checkpoint, or else the nearest one that evaluates.
        sets: names; all where there are none.
        samples: for each prompt, in place of the plan's; k is then the powers of two from 2.
        prompts: at most so many of each set, or pairs, or judged answers.
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
        sets: those that responses were sampled to; `other_sets` are the names of those with pairs or judged answers.
        metrics: as a run writes them, `eval/<set>/<metric>`.
        warnings: what whoever reads the numbers should know.
    """

    stage: str
    stage_step: int
    global_step: int
    confidence: float
    sets: tuple[EvalSet[Never], ...]
    other_sets: tuple[str, ...]
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
    if isinstance(stage.eval, Off):
        raise InternalError("the stage was chosen for its evaluation")
    tokenizer = load_tokenizer(experiment.model, root=root)
    environment = open_environment(stage, root=root)
    tools = () if environment is None else environment.tools
    heldout = _asked(load_heldout(stage, experiment.model, tokenizer, tools, root=root), choice.sets)
    for prompts in heldout.prompts.values():
        check_prompts(environment, prompts)
    weights = weights_at_the_start(experiment, root=root) if checkpoint is None else checkpoint.weights()
    metrics: dict[str, float] = {}
    warnings: list[str] = []
    if heldout.num_overlong:
        warnings.append(f"{num_rows_phrase(heldout.num_overlong)} of the held-out data too long")
    if heldout.prompts:
        at = _At(weights, progress.global_step, index, environment)
        found = _sampled(experiment, stage, heldout.prompts, at, root=root)
        metrics |= found.metrics
        warnings += found.warnings
    if heldout.pairs or heldout.scored:
        learners = build_learners(experiment, stage, weights, root=root)
        if checkpoint is not None and index == progress.stage:
            state = {**{f"model.{name}": tensor for name, tensor in weights.items()}, **checkpoint.tensors()}
            learners.trained.load_state(state)
        elif checkpoint is not None or index > 0:
            _check_reference(stage)
        for measure in held_out_measures(stage, learners, heldout, pad_token_id=tokenizer.pad_token_id):
            metrics |= asyncio.run(measure.measure(stage=index))
    return Evaluated(
        stage=stage.name,
        stage_step=progress.step if index == progress.stage else 0,
        global_step=progress.global_step,
        confidence=stage.eval.confidence,
        sets=tuple(s for s in sampled_sets(stage.eval) if s.name in heldout.prompts),
        other_sets=(*heldout.pairs, *heldout.scored),
        metrics=metrics,
        warnings=tuple(warnings),
    )


class _At(NamedTuple):
    """Weights, how many steps they have behind them, the stage that is measured, and its environment."""

    weights: Mapping[str, Tensor]
    version: int
    stage: int
    environment: OpenEnvironment | None


class _Found(NamedTuple):
    metrics: dict[str, float]
    warnings: list[str]


def _sampled(
    experiment: Experiment[Never], stage: Stage[Never], prompts: Mapping[str, Sequence[Prompt]], at: _At, *, root: Path
) -> _Found:
    """Measure on responses to prompts."""
    engine = build_engine(experiment, stage)
    if engine is None or isinstance(stage.reward, Off):
        raise InternalError("a stage that evaluates on prompts has an engine and a reward")
    engine.load_weights(iter(at.weights.items()), version=at.version)
    tokenizer = load_tokenizer(experiment.model, root=root)
    reward, own = RewardRunner(stage.reward, root=root), build_set_rewards(stage, root=root)
    runners = (reward, *own.values())
    try:
        judges = {name: own.get(name, reward) for name in prompts}
        evaluator = build_evaluator(stage, engine, tokenizer, judges, prompts, at.environment)
        metrics = asyncio.run(evaluator.measure(stage=at.stage))
    finally:
        for runner in runners:
            runner.close()
    failed = sum(runner.num_failed for runner in runners)
    unjudged = sum(runner.num_unjudged for runner in runners)
    last = next((f"{r.last_code}: {r.last_failure}" for r in reversed(runners) if r.num_failed), "")
    warnings = [f"{unjudged} response(s) could not be judged"] if unjudged else []
    warnings += [f"{failed} judgement(s) failed, the last of them so: {last}"] if failed else []
    warnings += unmeasured([s for s in sampled_sets(stage.eval) if s.name in prompts], metrics)
    return _Found(metrics, warnings)


def _asked(heldout: HeldOutData, names: Sequence[str]) -> HeldOutData:
    """What of the held-out data is asked for; all of it where no name is given."""

    def kept(sets: Mapping[str, T]) -> dict[str, T]:
        return {name: rows for name, rows in sets.items() if not names or name in names}

    return HeldOutData(kept(heldout.prompts), kept(heldout.pairs), kept(heldout.scored), heldout.num_overlong)


def _check_reference(stage: Stage[Never]) -> None:
    """Refuse a comparison with a reference that the checkpoint does not hold: the weights at the start of the stage."""
    if isinstance(stage.algorithm.loss, PreferenceLoss):
        message = f"pairs of stage {stage.name} are compared with the weights that it starts from, which are not here"
        way = Help("evaluate a checkpoint of that stage")
        raise SpecError(Diagnostic("RLC0694", message, help=(way,)))


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
    lists = (sampled_sets(settings), pair_sets(settings), scored_sets(settings))
    names = [measured.name for sets in lists for measured in sets]
    for name in choice.sets:
        if name not in names:
            raise _unknown("held-out set", name, names)

    def is_asked(name: str) -> bool:
        return not choice.sets or name in choice.sets

    if isinstance(settings, Eval):
        sets = tuple(_changed(s, choice) if is_asked(s.name) else s for s in settings.sets)
        settings = settings.replacing(sets=sets)
    if isinstance(settings, (PairEval, PreferenceEval)):
        pairs = tuple(s.replacing(max_pairs=_fewer(s.max_pairs, choice.prompts)) for s in settings.pairs)
        settings = settings.replacing(pairs=pairs)
    elif isinstance(settings, ScoredEval):
        scored = tuple(s.replacing(max_rows=_fewer(s.max_rows, choice.prompts)) for s in settings.scored)
        settings = settings.replacing(scored=scored)
    changed: Stage[Never] = stage.replacing(eval=settings)
    return changed


def _fewer(most: int | Off, asked: int | None) -> int | Off:
    if asked is None:
        return most
    return asked if isinstance(most, Off) else min(most, asked)


def _changed(measured: EvalSet[Never], choice: Choice) -> EvalSet[Never]:
    changes: dict[str, object] = {}
    if choice.prompts is not None:
        changes["max_prompts"] = _fewer(measured.max_prompts, choice.prompts)
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
