"""The rewards of a plan, opened: the one that is named, or each of its terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.openness import Off
from compiler.ir.reward_settings import BY_ROW, COMBINED
from compiler.ir.rollout import Judgement, Reward, RewardTerm
from runtime.rewards.function_term import FunctionTerm
from runtime.rewards.functions import load_reward, locate_reward
from runtime.rewards.loops import LoopSlots
from runtime.rewards.terms import Term
from stdlib.rewards.by_row import named_by
from stdlib.samples import JsonValue, Prompt

# Rewards that keep something open between calls: a connection, weights, processes.
_SERVICES = {
    "judge": "runtime.rewards.judge",
    "remote": "runtime.rewards.remote",
    "reward_model": "runtime.rewards.reward_model",
    "code_tests": "runtime.rewards.code_tests",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedTerm:
    """A term with what metrics call it and what its scores are multiplied by."""

    label: str
    weight: float
    term: Term


def terms_of(reward: Reward[Never]) -> Sequence[Judgement[Never]]:
    """Return the terms of a reward, or the reward itself where it is not put together of any."""
    return reward.terms if reward.name in COMBINED else (reward,)


def label_of(one: Judgement[Never]) -> str:
    """Return what metrics and rows call a reward."""
    return one.name if not isinstance(one, RewardTerm) or isinstance(one.label, Off) else one.label


def check_reward(reward: Reward[Never], prompts: Iterable[Prompt], *, root: Path) -> None:
    """Look at what can be known before anything is trained.

    Functions load, tokens and model files are there, programs can be confined, and every row names one of the terms.
    Raises: SpecError RLC0610, RLC0611, RLC0682 to RLC0685.
    """
    for one in terms_of(reward):
        if one.name in _SERVICES:
            module: Any = import_module(_SERVICES[one.name])
            module.check(getattr(one, one.name), root=root)
        else:
            load_reward(locate_reward(one, root=root))
    if reward.name != BY_ROW:
        return
    labels = [label_of(one) for one in reward.terms]
    for prompt in prompts:
        named = named_by(prompt.metadata, reward.row_key)
        if named not in labels:
            raise SpecError(_names_none(prompt.source, named, reward.row_key, labels))


def open_terms(reward: Reward[Never], *, root: Path) -> tuple[NamedTerm, ...]:
    """Return the terms of a reward, ready to judge.  Raises: SpecError as `load_reward`, and what a service raises."""
    slots = LoopSlots(reward.concurrency)
    found: list[NamedTerm] = []
    for one in terms_of(reward):
        weight = one.weight if isinstance(one, RewardTerm) else 1.0
        term = _open(one, reward, slots=slots, root=root)
        found.append(NamedTerm(label=label_of(one), weight=weight, term=term))
    return tuple(found)


def _names_none(source: str, named: JsonValue, row_key: str, labels: Sequence[str]) -> Diagnostic:
    said = f"has no {row_key} in its metadata" if named is None else f"has {row_key} = {json.dumps(named)[:60]}"
    near = nearest_names(named, labels) if isinstance(named, str) else []
    way = f'did you mean "{near[0]}"?' if near else "name one of them in every row, or add a term to [[reward.terms]]"
    return Diagnostic(
        "RLC0685",
        f"{source} {said}, which is none of the terms: {', '.join(labels)}",
        help=(Help(way),),
        paths=("reward.row_key",),
    )


def _open(one: Judgement[Never], reward: Reward[Never], *, slots: LoopSlots, root: Path) -> Term:
    if one.name in _SERVICES:
        module: Any = import_module(_SERVICES[one.name])
        return module.open_term(getattr(one, one.name), root=root)
    return FunctionTerm(
        load_reward(locate_reward(one, root=root)),
        level=one.level,
        timeout_s=reward.timeout_s,
        slots=slots,
        goes_on=reward.on_failure != "stop",
    )
