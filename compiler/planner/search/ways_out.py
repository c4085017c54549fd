"""What to change where nothing fits: each way is one change after which the search finds a layout that does."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Off
from compiler.ir.options import given, settings_given
from compiler.ir.paths import replaced
from compiler.ir.subject import toml_literal
from compiler.ir.training import Fsdp2
from compiler.planner.chosen import CHOOSABLE, paths_of
from compiler.planner.memory.lines import GIB
from compiler.planner.search.choose import choose
from compiler.planner.search.judge import fullness
from compiler.planner.search.problem import Problem, problem_of

_MOST_TIMES = 64
_OFFLOAD = (("optimizer_cpu_offload", True), ("use_precision_aware_optimizer", True))


class WayOut(NamedTuple):
    """A change: what to set, and what then fits."""

    text: str
    note: str
    sets: tuple[tuple[str, str], ...] = ()


def ways_out(problem: Problem) -> Iterator[WayOut]:
    """Yield the changes that help, those that take nothing from the experiment first."""
    yield from _released(problem)
    yield from _one_sample(problem)
    yield from _more_nodes(problem)
    yield from _offloaded(problem)


def _released(problem: Problem) -> Iterator[WayOut]:
    """A setting of the layout that is written, and that another value of would make fit."""
    for name in CHOOSABLE:
        path = next(paths_of(name, len(problem.stages)))
        if name in problem.open or not problem.subject.written(path):
            continue
        note = _note(problem._replace(open=problem.open | {name}, released=problem.released | {name}))
        if note:
            shown = problem.subject.shown(path)
            if name in ("recompute", "sharding"):
                yield WayOut(f"leave {shown} out", note)
            else:
                yield WayOut(f'set {shown} = "auto"', note, ((shown, '"auto"'),))


def _offloaded(problem: Problem) -> Iterator[WayOut]:
    """The state of the optimizer on the host, where nobody says where it is; FSDP2's with the weights.

    Nothing that a tool should apply: what is known of it (RLC0540) is for a person to weigh.
    """
    experiment = problem.experiment
    said: list[str] = []
    for index, facts in enumerate(problem.stages):
        engine = facts.stage.train.engine
        if isinstance(engine.fsdp2, Fsdp2):
            path = f"stages.{index}.train.engine.fsdp2.cpu_offload"
            if engine.fsdp2.cpu_offload or problem.subject.written(path):
                return
            experiment = replaced(experiment, path, True)
            said.append(f"{problem.subject.shown(path)} = true")
            continue
        kept = settings_given(engine, "megatron")
        if engine.name != "megatron" or "optimizer_cpu_offload" in kept:
            return
        path = f"stages.{index}.train.engine.megatron"
        experiment = replaced(experiment, path, given({**kept, **dict(_OFFLOAD)}))
        said += [f"{problem.subject.shown(f'{path}.{key}')} = {toml_literal(value)}" for key, value in _OFFLOAD]
    note = _note_of(problem, experiment)
    if note:
        yield WayOut(f"set {' and '.join(said)}", note)


def _one_sample(problem: Problem) -> Iterator[WayOut]:
    """Micro-batches of one sample, where more are written."""
    for index, facts in enumerate(problem.stages):
        path, micro = f"stages.{index}.train.micro_batch", facts.stage.train.micro_batch
        if isinstance(micro, Off) or micro == 1:
            continue
        note = _note_of(problem, replaced(problem.experiment, path, 1))
        if note:
            shown = problem.subject.shown(path)
            yield WayOut(f"set {shown} = 1", note, ((shown, "1"),))


def _more_nodes(problem: Problem) -> Iterator[WayOut]:
    """The least power of two times the machines; sides that are written keep their GPUs, so those may not be."""
    nodes = problem.total // problem.per_node
    written = any(problem.subject.written(f"placement.{side}") for side in ("train_gpus", "rollout_gpus"))
    more = nodes * 2
    while more <= nodes * _MOST_TIMES and not written:
        note = _note(problem._replace(total=more * problem.per_node))
        if note:
            yield WayOut(f"set cluster.nodes = {more}", note, (("cluster.nodes", str(more)),))
            return
        more *= 2


def _note_of(problem: Problem, experiment: Experiment[Any]) -> str:
    """The same of a changed experiment."""
    subject = problem.subject
    changed = problem_of(experiment, subject.origins, subject.catalogue, problem.open)
    return "" if changed is None else _note(changed)


def _note(problem: Problem) -> str:
    """What a GPU then holds, nothing where still nothing fits."""
    best = choose(problem, names_nearest=False).best
    if best is None:
        return ""
    full = fullness(problem._replace(headroom_frac=0.0), best.candidate)
    return f"then at most {full.phase.bytes / GIB:,.1f} GiB, in {full.phase.name}"
