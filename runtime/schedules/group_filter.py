"""The filter of groups of a stage, found and loaded: one of the standard library, or the experiment's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Never

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.algorithm import SeveralRewardsAlgo
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.custom_function import CHOICE, CustomFunction
from runtime.train_batches import raw_reward_of
from stdlib.samples import Group

GroupFilter = Callable[[Group], bool]


def load_group_filter(stage: Stage[Never], *, root: Path) -> GroupFilter | None:
    """Return what says whether a group is kept, or None where all are.

    Raises: SpecError RLC0610 or RLC0611 if a function of the experiment's own cannot be loaded.
    """
    rollout = stage.rollout
    if not isinstance(rollout, Rollout) or isinstance(rollout.filter, Off):
        return None
    spec = rollout.filter
    if not isinstance(spec.code, Off):
        function = CustomFunction(spec.code, root=root, field="rollout.filter.name", duty=CHOICE)
        return partial(_custom, function, spec.timeout_s)
    of_stdlib: Callable[..., bool] = import_module(f"stdlib.filters.{spec.name}").keeps
    settings = {"low": spec.low, "high": spec.high} if spec.name == "mean_within" else {}
    keeps: Callable[[Sequence[float]], bool] = partial(of_stdlib, **settings)
    compares_several = isinstance(stage.algorithm.algo, SeveralRewardsAlgo)
    return lambda group: any(keeps(rewards) for rewards in _compared(group, compares_several=compares_several))


def _custom(function: CustomFunction, timeout_s: float, group: Group) -> bool:
    found = function.within(timeout_s, group)
    if found is not True and found is not False:
        raise SpecError(function.fault(f"returned {found!r}, not True or False"))
    return found


def _compared(group: Group, *, compares_several: bool) -> list[list[float]]:
    """The rewards that the samples of a group are compared by: one before shaping, or each of several."""
    if not compares_several:
        return [[raw_reward_of(sample) for sample in group.samples]]
    labels = group.samples[0].reward_terms
    return [[sample.reward_terms[label] for sample in group.samples] for label in labels]
