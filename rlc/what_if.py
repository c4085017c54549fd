"""Two plans of one spec side by side: as it is, and with some fields changed; every difference with its reason.

What differs, and from which change it follows, is found as for `--diff`; here each value also says which equation or
pass made it, and of what.  What is predicted stands beside it with ratios: the memory of each phase, and every number
of the forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from compiler.emit._plan_changes import Absent, Change, find_causes
from compiler.explain import equation_called, literal, place, source_line, summary_of_pass
from compiler.ir.canonical import encode
from compiler.ir.catalogue import Gpu
from compiler.ir.json_text import Json
from compiler.ir.paths import read
from compiler.ir.plan import Plan
from compiler.ir.provenance import Origin
from compiler.ir.record import Record
from compiler.ir.sourced_plan import SourcedPlan
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.phases import phases_of
from rlc.catalogue import load_hardware

_GPU_FACTS = (
    ("memory_gib", "memory", "GiB"),
    ("memory_tb_per_s", "memory bandwidth", "TB/s"),
    ("bf16_tflops", "bf16", "TFLOP/s"),
    ("scaleup_gb_per_s", "links between GPUs", "GB/s"),
)


class Amount(NamedTuple):
    """A number that is known or predicted of both plans; None where a plan has no such thing."""

    group: str
    name: str
    unit: str
    old: float | None
    new: float | None

    @property
    def ratio(self) -> float | None:
        """How many times the old number the new one is."""
        return self.new / self.old if self.old and self.new is not None else None


class Difference(NamedTuple):
    """A value that differs, why it is what it is in the new plan, and the inputs that made it differ.

    `by` is the short name of the equation or the pass that made it, empty for a value that somebody wrote.
    """

    path: str
    old: object
    new: object
    reason: str
    by: str
    inputs: tuple[str, ...]
    is_cause: bool
    in_hash: bool


class WhatIf(NamedTuple):
    """Two plans of one spec; `asked` is what the second one has otherwise."""

    old: SourcedPlan
    new: SourcedPlan
    asked: tuple[str, ...]
    amounts: tuple[Amount, ...]
    differences: tuple[Difference, ...]


def compare(old: SourcedPlan, new: SourcedPlan, asked: Sequence[str]) -> WhatIf:
    """Return both plans with all that differs: causes first, each followed by what follows from it."""
    amounts = (*_gpus(old.plan, new.plan), *_phases(old.plan, new.plan), *_forecasts(old.plan, new.plan))
    return WhatIf(old, new, tuple(asked), amounts, tuple(_Reasons(old, new, asked).differences()))


def without_replaced(sets: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of --set whose fields no what-if changes."""
    changed = {_path_of(text) for text in asked}
    return tuple(text for text in sets if _path_of(text) not in changed)


def to_json(found: WhatIf) -> Json:
    """Return all of it as JSON."""
    return {
        "what_if": list(found.asked),
        "old": {"hash": found.old.plan.hash, "source": found.old.name},
        "new": {"hash": found.new.plan.hash, "source": found.new.name},
        "amounts": [{**amount._asdict(), "ratio": amount.ratio} for amount in found.amounts],
        "differences": [
            {**one._asdict(), "old": _plain(one.old), "new": _plain(one.new), "inputs": list(one.inputs)}
            for one in found.differences
        ],
    }


def shown_value(value: object) -> str:
    """Return a value as a person writes it; nothing where a plan has no such field."""
    return "-" if isinstance(value, Absent) else literal(value)


class _Reasons:
    def __init__(self, old: SourcedPlan, new: SourcedPlan, asked: Sequence[str]) -> None:
        self.old, self.new, self.asked = old, new, asked
        stages = new.plan.experiment.stages
        self.has_stage_list = len(stages) > 1 or len(old.plan.experiment.stages) > 1

    def differences(self) -> Iterator[Difference]:
        for cause in find_causes(self.old, self.new):
            for change in cause.changes:
                yield self.difference(change, is_cause=True)
            for found in cause.follows:
                yield self.difference(found.change, is_cause=False)

    def difference(self, change: Change, *, is_cause: bool) -> Difference:
        reason = self.reason(change)
        inputs = tuple(self.changed_inputs(change))
        by = change.new_origin.by if change.new_origin is not None else ""
        return Difference(self.shown(change.key), change.old, change.new, reason, by, inputs, is_cause, change.in_hash)

    def reason(self, change: Change) -> str:
        if isinstance(change.new, Absent):
            return "there is no such field then"
        origin = change.new_origin
        if origin is None:
            return "the compiler says so"
        if origin.kind == "override" and origin.span is not None:
            text = origin.span.file.text
            return f"--what-if {text}" if text in self.asked else f"--set {text}"
        if origin.span is not None and not origin.by:
            return f"{place(origin.span)}: {source_line(origin.span)}"
        return _made_by(origin)

    def changed_inputs(self, change: Change) -> Iterator[str]:
        """What the value was derived from, and is another one now, with both values."""
        for path in change.new_origin.inputs if change.new_origin is not None else ():
            before, after = (_read(side.plan, path) for side in (self.old, self.new))
            if before == after or isinstance(before, tuple) or isinstance(after, tuple):
                continue
            subject = self.new.subject
            name = path if subject is None else subject.shown(path)
            yield f"{name} {shown_value(before)} -> {shown_value(after)}"

    def shown(self, key: str) -> str:
        parts = key.split(".")
        if parts[0] == "stages" and len(parts) > 2 and not self.has_stage_list:
            parts = parts[2:]
        return ".".join(parts)


def _made_by(origin: Origin) -> str:
    """The equation or the pass that a value comes from."""
    equation = equation_called(origin.by)
    if equation is not None:
        sides = " = ".join(" x ".join(side) for side in (equation.left, equation.right))
        return f"{equation.name}: {sides}"
    if origin.kind == "default":
        return "the default of the schema"
    summary = summary_of_pass(origin.by)
    return f"{origin.by}: {summary}" if summary else origin.by or origin.kind


def _gpus(old: Plan, new: Plan) -> Iterator[Amount]:
    before, after = _gpu_of(old), _gpu_of(new)
    if before == after:
        return
    for field, name, unit in _GPU_FACTS:
        values = [None if gpu is None else float(getattr(gpu, field)) or None for gpu in (before, after)]
        if any(values):
            yield Amount("a GPU", name, unit, *values)


def _phases(old: Plan, new: Plan) -> Iterator[Amount]:
    before, after = _phase_bytes(old), _phase_bytes(new)
    for name in dict.fromkeys((*before, *after)):
        yield Amount("memory of a phase", name, "bytes", before.get(name), after.get(name))


def _phase_bytes(plan: Plan) -> dict[str, float]:
    """What each phase holds, by the phase and the class of device."""
    gpu, stages = _gpu_of(plan), plan.experiment.stages
    found: dict[str, float] = {}
    if gpu is None:
        return found
    for stage in stages:
        job = stage_job(plan.experiment, stage, gpu)
        for phase in phases_of(job, CONSTANTS) if job is not None else ():
            of = f"{stage.name}: " if len(stages) > 1 else ""
            found[f"{of}{phase.name}, a {phase.device}"] = phase.bytes
    return found


def _forecasts(old: Plan, new: Plan) -> Iterator[Amount]:
    before, after = (dict(_numbers("", plan.forecast)) for plan in (old, new))
    for name, unit in dict.fromkeys((*before, *after)):
        values = before.get((name, unit)), after.get((name, unit))
        if any(values):
            yield Amount("forecast", name, unit, *values)


def _numbers(path: str, record: Record) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield every number of a record by its name and its unit; those of several stages by the stage, too."""
    for name, field in type(record).fields().items():
        value = record.__dict__[name]
        inner = f"{path} {name.replace('_', ' ')}".lstrip()
        if isinstance(value, Record):
            yield from _numbers(inner, value)
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                own = item.__dict__ if isinstance(item, Record) else {}
                of = str(own.get("stage", own.get("name", at))) if len(value) > 1 else ""
                yield from _numbers(f"{path} {of}".strip(), item) if isinstance(item, Record) else ()
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield (inner, field.unit), value


def _gpu_of(plan: Plan) -> Gpu | None:
    return load_hardware().get(str(plan.experiment.cluster.gpu))


def _read(plan: Plan, path: str) -> object:
    try:
        return read(plan.experiment, path)
    except (KeyError, IndexError):
        return Absent()


def _path_of(text: str) -> str:
    return text.partition("=")[0].strip()


def _plain(value: object) -> Json:
    return None if isinstance(value, Absent) else encode(value)
