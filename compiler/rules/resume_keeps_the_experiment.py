"""A run is resumed by the experiment that started it.

What: a run directory may be continued by a plan that differs only in fields that may change on resume (how long, how
often it evaluates and saves, timeouts, logging).
Why it matters: weights of another model do not load; worse, a changed learning rate or batch continues silently and the
curve has a kink that nobody can explain later.  More steps are allowed; where they stretch the decay of the learning
rate, a warning says so.
Example: a run started with `optim.lr = 3e-4`, continued with `1e-3`.
Fix: use a new run directory; or set the field back.
Source: CKPT-01.  Each field says in the schema whether it may change (`rlc explain SPEC FIELD`).
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.experiment import IMPLICIT_STAGE
from compiler.ir.openness import OFF
from compiler.ir.paths import fields_on_the_way, leaves
from compiler.ir.plan import Plan
from compiler.ir.record import Record
from compiler.ir.subject import Subject, shown_path, toml_literal

CODE = "RLC0312"
ID = "CKPT-01"
_MOST = 8


def check(subject: Subject) -> Iterator[Diagnostic]:
    """A spec alone cannot break this: see `check_resume`."""
    yield from ()


def check_resume(old: Plan, new: Plan, *, where: str) -> Iterator[Diagnostic]:
    """Report fields that changed between the plan of a run and the plan that is to continue it.

    Args:
        where: the run directory, for the message.
    """
    before, after = dict(leaves(old.experiment)), dict(leaves(new.experiment))
    changed = [p for p in {**before, **after} if before.get(p) != after.get(p) and not _may_change(new, old, p)]
    if changed:
        lines = [
            Help(f"{_written(new, path)}: {_shown(before.get(path))} in the run, {_shown(after.get(path))} now")
            for path in changed[:_MOST]
        ]
        if len(changed) > _MOST:
            lines.append(Help(f"and {len(changed) - _MOST} more: rlc plan SPEC --diff {where}/plan.json"))
        yield Diagnostic(
            CODE,
            f"{where} was started by another experiment: {len(changed)} field(s) differ that must not change",
            help=(*lines, Help("use another run directory, or set these fields back")),
            rule=ID,
            paths=tuple(changed),
        )
    else:
        yield from _moved_horizons(old, new)


def _moved_horizons(old: Plan, new: Plan) -> Iterator[Diagnostic]:
    """Warn where a run goes on longer and the decay of its learning rate is stretched with it."""
    for index, (before, after) in enumerate(zip(old.experiment.stages, new.experiment.stages, strict=False)):
        steps, was = after.optim.total_steps, before.optim.total_steps
        if after.optim.schedule == "constant" or steps == was:
            continue
        path = f"stages.{index}.optim.total_steps"
        message = (
            f"{_written(new, path)} is {steps:,} instead of {was:,}: the {after.optim.schedule} decay ends there, so "
            "the learning rate makes a step where the run continues"
        )
        way = Help("a run whose rate has no step needs a run directory of its own")
        yield Diagnostic(CODE, message, help=(way,), rule=ID, severity="warning", paths=(path,))


def _written(plan: Plan, path: str) -> str:
    """Return a path as a person writes it; a plan does not know whether its only stage was listed."""
    names = tuple(stage.name for stage in plan.experiment.stages)
    return shown_path(path, names, has_stage_list=names != (IMPLICIT_STAGE,))


def _may_change(new: Plan, old: Plan, path: str) -> bool:
    return all(_allows_change(plan.experiment, path) for plan in (new, old))


def _allows_change(record: Record, path: str) -> bool:
    """Whether any field on the way to a path may change, or there is none: then the other plan decides."""
    try:
        return any(field.may_change for field in fields_on_the_way(record, path))
    except KeyError:
        return True
    except IndexError:  # a whole element more or less
        return False


def _shown(value: object) -> str:
    return "absent" if value is None else '"off"' if value is OFF else toml_literal(value)
