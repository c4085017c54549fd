"""Evaluation: what the policy gets right on held-out prompts, sampled and greedy, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.data import EvalSet
from compiler.ir.evaluated import metrics_over_samples, sampled_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from compiler.ir.rollout import Sampling
from runtime.answers import answer_of
from runtime.data.tokenizers import TextTokenizer
from runtime.environments.episodes import Episodes
from runtime.environments.opened import OpenEnvironment
from runtime.estimates import Votes, consensus_at_k, interval_of_mean, pass_at_k
from runtime.protocols import DrawKey, Reward, RolloutEngine
from runtime.rollouts import GREEDY, RolloutWorker
from runtime.train_batches import is_right
from stdlib.samples import Group, Prompt

# What is told of sampled episodes.
_OF_EPISODES = (
    "turns_mean",
    "tool_calls",
    "tool_timeouts",
    "tool_errors",
    "malformed_calls",
    "episode_timeouts",
    "episode_failures",
)


class HeldOut(NamedTuple):
    """One set: how it is measured, its prompts, and what samples and judges responses to them.

    `index` is its place among the sets of the stage: it names the random draws, whichever sets are measured.
    """

    index: int
    settings: EvalSet[Never]
    prompts: Sequence[Prompt]
    worker: RolloutWorker


class Evaluator:
    """Measures the policy on the sets of one stage.

    Args:
        seed: of the stage's evaluation stream; every evaluation draws the same noise, so that a change of the metric
            is a change of the policy.
        confidence: of the intervals.
    """

    def __init__(self, sets: Sequence[HeldOut], *, seed: int, confidence: float) -> None:
        self._sets = sets
        self._seed = seed
        self._confidence = confidence

    async def measure(self, *, stage: int) -> dict[str, float]:
        """Return `eval/<set>/accuracy` (sampled) and, where asked, `greedy` and metrics of several responses.

        Each has its interval beside it, as `accuracy_low` and `accuracy_high`.  Where not one response could be judged
        there is nothing to say, and the metric is missing; one that was not judged is not right otherwise.
        `failed_judgements` counts these, where there are any.
        """
        found: dict[str, float] = {}
        for held in self._sets:
            for name, value in (await self._measure(held, stage)).items():
                found[f"eval/{held.settings.name}/{name}"] = value
        return found

    async def _measure(self, held: HeldOut, stage: int) -> dict[str, float]:
        settings = held.settings
        sampled = Sampling(
            temperature=settings.sampling.temperature, top_p=settings.sampling.top_p, top_k=settings.sampling.top_k
        )
        num_samples = settings.samples_per_prompt
        groups = await self._groups(held, stage, num_samples=num_samples, sampling=sampled)
        # A group that was left out because a response could not be judged has no right one.
        missing = len(held.prompts) - len(groups)
        failed = _num_failed(groups) + missing * num_samples
        found: dict[str, float] = {}
        has_any = failed < len(held.prompts) * num_samples
        if has_any:
            found |= self._metric("accuracy", [_share_right(g, settings) for g in groups], missing, draws=num_samples)
        for name in metrics_over_samples(settings) if has_any else ():
            kind, _, size = name.partition("@")
            values = [_KINDS[kind](g, settings, int(size)) for g in groups]
            draws = num_samples if kind == "avg" else num_samples // int(size)
            found |= self._metric(name, values, missing, draws=draws)
        found["response_tokens_mean"] = _mean_length(groups)
        found["num_prompts"] = len(held.prompts)
        if held.worker.episodes is not None:
            told = held.worker.episodes.take_metrics()
            found |= {name: told[f"rollout/{name}"] for name in _OF_EPISODES}
        if settings.greedy:
            groups = await self._groups(held, stage, num_samples=1, sampling=GREEDY)
            missing = len(held.prompts) - len(groups)
            if _num_failed(groups) + missing < len(held.prompts):
                found |= self._metric("greedy", [_share_right(g, settings) for g in groups], missing, draws=1)
            failed += _num_failed(groups) + missing
            if held.worker.episodes is not None:
                # Greedy episodes are no part of what the next measurement counts.
                held.worker.episodes.take_metrics()
        return found | ({"failed_judgements": failed} if failed else {})

    async def _groups(self, held: HeldOut, stage: int, *, num_samples: int, sampling: Sampling) -> list[Group]:
        return await held.worker.groups(
            held.prompts,
            first_key=DrawKey(seed=self._seed, stage=stage, step=held.index, group=0),
            num_samples=num_samples,
            max_new_tokens=held.settings.max_response_tokens,
            sampling=sampling,
        )

    def _metric(self, name: str, judged: Sequence[float], missing: int, *, draws: int) -> dict[str, float]:
        values = [*judged, *[0.0] * missing]
        interval = interval_of_mean(values, draws=draws, confidence=self._confidence)
        mean = math.fsum(values) / len(values)
        return {name: mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def build_evaluator(
    stage: Stage[Never],
    engine: RolloutEngine,
    tokenizer: TextTokenizer,
    judges: Mapping[str, Reward],
    prompts: Mapping[str, Sequence[Prompt]],
    environment: OpenEnvironment | None,
) -> Evaluator:
    """Return what measures a stage on the sets of which there are prompts, each with its judge, by name.

    Args:
        environment: that of the stage, where it has one.
    """
    if isinstance(stage.eval, Off):
        raise InternalError("a stage that does not evaluate has no evaluator")
    sets = [
        HeldOut(
            index,
            s,
            prompts[s.name],
            build_worker(stage, engine, tokenizer, judges[s.name], environment, is_evaluation=True),
        )
        for index, s in enumerate(sampled_sets(stage.eval))
        if s.name in prompts
    ]
    return Evaluator(sets, seed=stage.seeds.evaluation, confidence=stage.eval.confidence)


def build_worker(
    stage: Stage[Never],
    engine: RolloutEngine,
    tokenizer: TextTokenizer,
    reward: Reward | None,
    environment: OpenEnvironment | None,
    *,
    is_evaluation: bool,
) -> RolloutWorker:
    """Return what samples responses, or episodes where there is an environment, and has them judged."""
    rollout = stage.rollout
    if isinstance(rollout, Off):
        raise InternalError("a stage that does not sample has no worker")
    episodes = None
    if environment is not None:
        context = rollout.max_context_tokens
        episodes = Episodes(environment, engine, tokenizer, max_context_tokens=context, is_evaluation=is_evaluation)
    stops = frozenset((tokenizer.eos_token_id, *rollout.stop_token_ids))
    return RolloutWorker(
        engine,
        tokenizer,
        reward,
        stop_token_ids=stops,
        stop_strings=rollout.stop_strings,
        episodes=episodes,
    )


def unmeasured(sets: Sequence[EvalSet[Never]], metrics: Mapping[str, float]) -> list[str]:
    """Return a warning for each set of which not one response could be judged, by what was measured."""
    return [
        f"RLC0698: no response to the prompts of {measured.name} could be judged, so it has no metrics this time"
        for measured in sets
        if f"eval/{measured.name}/num_prompts" in metrics and f"eval/{measured.name}/accuracy" not in metrics
    ]


def _num_failed(groups: Sequence[Group]) -> int:
    return sum(sample.has_failed for group in groups for sample in group.samples)


def _num_right(group: Group, settings: EvalSet[Never]) -> int:
    """Right responses, by the reward before shaping; one that could not be judged is not right."""
    return sum(is_right(sample, settings.correct_at) for sample in group.samples)


def _share_right(group: Group, settings: EvalSet[Never], _: int = 0) -> float:
    return _num_right(group, settings) / len(group.samples)


def _pass(group: Group, settings: EvalSet[Never], k: int) -> float:
    return pass_at_k(len(group.samples), _num_right(group, settings), k)


def _consensus(group: Group, settings: EvalSet[Never], k: int) -> float:
    judged: dict[str, list[bool]] = {}
    for sample in group.samples:
        answer = answer_of(sample.text, str(settings.answer))
        if answer is not None:
            judged.setdefault(answer, []).append(is_right(sample, settings.correct_at))
    answers = [Votes(len(found), sum(found) / len(found)) for found in judged.values()]
    return consensus_at_k(answers, len(group.samples) - sum(a.count for a in answers), k)


_KINDS: dict[str, Callable[[Group, EvalSet[Never], int], float]] = {
    "pass": _pass,
    "avg": _share_right,
    "cons": _consensus,
}


def _mean_length(groups: Sequence[Group]) -> float:
    lengths = [s.num_response_tokens for group in groups for s in group.samples]
    return sum(lengths) / max(len(lengths), 1)
