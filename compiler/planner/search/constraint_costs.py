"""What each thing that is written costs: how much faster a step would be if the planner could choose it as well."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import Off
from compiler.ir.options import SHARES
from compiler.planner.chosen import AXES, OF_STAGES, SIDES, is_left_out, is_table_left_out, paths_of
from compiler.planner.search.choose import choose
from compiler.planner.search.problem import Problem, gives_recompute, gives_sharding, gives_tokens

_CALLED = {"recompute": "what is computed again", "sharding": "how weights are sharded"}
_GPUS = ("mode", "train_gpus", "rollout_gpus")


class ConstraintCost(NamedTuple):
    """A constraint, and the seconds of a step without it; None where nothing fits then either."""

    text: str
    free_step_s: float | None


def constraint_costs(problem: Problem) -> Iterator[ConstraintCost]:
    """Yield each constraint alone, and then all of them together where there are several."""
    if problem.subject.origins.refuses is not None:
        yield ConstraintCost("what is required of the layout", _step_s(problem._replace(heeds_requirements=False)))
    found = list(_constraints(problem))
    for text, names in found:
        yield ConstraintCost(text, _step_s(problem, names))
    if len(found) > 1:
        everything = frozenset(name for _, names in found for name in names)
        yield ConstraintCost("all of these together", _step_s(problem, everything))


def _constraints(problem: Problem) -> Iterator[tuple[str, frozenset[str]]]:
    origins, subject = problem.subject.origins, problem.subject
    free_axes = frozenset(axis for axis in AXES if is_left_out(origins, f"parallel.{axis}"))
    free_gpus = frozenset(side for side in _GPUS if is_left_out(origins, f"placement.{side}"))
    for axis in AXES:
        if axis not in problem.open and axis not in free_axes:
            yield f"parallel.{axis} = {_said(getattr(problem.base.layout, axis))}", (free_axes & {"dp", "sp"}) | {axis}
    if not is_table_left_out(origins) and free_axes - problem.open - {"dp", "sp"}:
        yield "[parallel] is written, so what it leaves out is 1, or follows", free_axes
    for side in SIDES if problem.samples else ():
        if side not in problem.open:
            more = free_gpus if side in _GPUS else frozenset()
            said = f"placement.{side} = {_said(getattr(problem.base, side))}"
            yield said if not is_left_out(origins, f"placement.{side}") else f"{said}, by default", more | {side}
    for name, gives in (("recompute", gives_recompute), ("sharding", gives_sharding), ("tokens", gives_tokens)):
        stages = [index for index in range(len(problem.stages)) if name not in problem.open or gives(problem, index)]
        if stages and _can_release(problem, name):
            path = list(paths_of(name, len(problem.stages)))[stages[0]]
            shown = _CALLED.get(name) or subject.shown(path)
            yield f"{shown}, as it is", frozenset({name})
    rollouts = [facts.stage.rollout for facts in problem.stages if not isinstance(facts.stage.rollout, Off)]
    is_said = any("share" not in problem.open or facts.gives_share for facts in problem.stages)
    if rollouts and is_said and all(str(rollout.engine.name) in SHARES for rollout in rollouts):
        yield "the engine's share of memory, as it is", frozenset({"share"})


def _can_release(problem: Problem, name: str) -> bool:
    engines = {facts.stage.train.engine.name for facts in problem.stages}
    return name == "tokens" or engines == {"fsdp2"} or (name == "recompute" and engines == {"megatron"})


def _step_s(problem: Problem, names: frozenset[str] = frozenset()) -> float | None:
    released = problem.released | (names & frozenset(OF_STAGES))
    best = choose(problem._replace(open=problem.open | names, released=released), names_nearest=False).best
    return None if best is None else best.step_s


def _said(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
