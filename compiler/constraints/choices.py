"""Which layouts the requirements of a spec and of its policy let the planner choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compiler.constraints.evaluate import OpenFieldError, Surroundings, evaluate
from compiler.constraints.names import AbsentError
from compiler.constraints.statements import Setting, Statement
from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto

_OF_SIDES = ("placement.mode", "placement.train_gpus", "placement.rollout_gpus")
_OF_STAGES = (".train.packing.tokens", ".train.engine.", ".rollout.engine.")

Refuses = Callable[[Experiment[Auto], bool], str]


def refuses_of(statements: Iterable[Statement], setting: Setting) -> Refuses | None:
    """Return what says why a layout may not be chosen, None where no requirement is about layouts.

    What cannot be evaluated before a plan is complete, as what a policy says of its forecast, is judged afterwards.
    """
    about = [one for one in statements if any(map(_is_chosen, one.paths))]
    if not about:
        return None
    of_axes = [one for one in about if not any(_is_chosen(path) and not _is_axis(path) for path in one.paths)]

    def refuses(experiment: Experiment[Auto], is_whole: bool) -> str:
        for one in about if is_whole else of_axes:
            around = Surroundings(setting.names(experiment, one.stage), setting.catalogue)
            try:
                is_met = evaluate(one.expression, around)
            except (SpecError, AbsentError, OpenFieldError):
                continue
            if is_met is False:
                return one.requirement.why
        return ""

    return refuses


def _is_axis(path: str) -> bool:
    return path.startswith("parallel.") or path in _OF_SIDES


def _is_chosen(path: str) -> bool:
    is_of_a_stage = path.startswith("stages.") and any(part in path for part in _OF_STAGES)
    return _is_axis(path) or path == "placement.gpus_per_engine" or is_of_a_stage
