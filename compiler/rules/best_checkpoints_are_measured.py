"""What says which checkpoints are best is measured when they are written.

What: `checkpoint.keep_best` and `checkpoint.best_by` are given together, with `checkpoint.keep_latest`; the metric is
one that the stage measures, and some step is both measured and saved.
Why it matters: with a name that nothing writes, or at steps that nobody measures, no checkpoint counts as best, and the
one that was wanted is gone with the old ones.
Example: `keep_best = 2` with `best_by = "eval.heldout.acuracy"`, or with a checkpoint after every 10 steps and an
evaluation after every 15 of 20.
Fix: name a metric that is measured, and let `checkpoint.interval` be a multiple of `eval.interval`.
Source: CKPT-03; NeMo-RL PR#1449: a metric whose name lacked a prefix matched nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.data import Checkpoint
from compiler.ir.evaluated import measured_metrics
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject, toml_literal

CODE = "RLC0377"
ID = "CKPT-03"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report best checkpoints that nothing finds."""
    for stage in subject.stages():
        saved = stage.stage.checkpoint
        if isinstance(saved.keep_best, Off) and isinstance(saved.best_by, Off):
            continue
        if isinstance(saved.keep_best, Off):
            yield _one_without_the_other(stage, "best_by", "says what is best", _one_to_keep(stage))
        elif isinstance(saved.best_by, Off):
            yield _one_without_the_other(stage, "keep_best", "of them are kept", *_metric_to_name(stage))
        elif isinstance(saved.keep_latest, Off):
            yield _all_are_kept(stage)
        elif not _is_measured(subject, saved.best_by):
            yield _unmeasured(stage, saved.best_by)
        elif isinstance(stage.stage.run.max_steps, int) and saved.best_by in measured_metrics(stage.stage.eval):
            yield from _never_both(stage, saved, stage.stage.run.max_steps)


def _is_measured(subject: Subject, metric: str) -> bool:
    """Whether a stage measures it: a table that stages share may name what only one of them does."""
    return any(metric in measured_metrics(stage.stage.eval) for stage in subject.stages())


def _all_are_kept(stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        "every checkpoint is kept, so the best of them are anyway",
        stage.labels(("checkpoint.keep_best", "beside the newest")),
        (stage.fix("checkpoint.keep_latest", 1), Help(f"or leave {stage.shown('checkpoint.keep_best')} out")),
        rule=ID,
        paths=(stage.path("checkpoint.keep_best"),),
    )


def _one_without_the_other(stage: StageSubject, given: str, what: str, *ways: Help) -> Diagnostic:
    missing = "keep_best" if given == "best_by" else "best_by"
    return Diagnostic(
        CODE,
        f"checkpoint.{given} is given without checkpoint.{missing}",
        stage.labels((f"checkpoint.{given}", what)),
        (*ways, Help(f"or leave {stage.shown(f'checkpoint.{given}')} out")),
        rule=ID,
        paths=(stage.path(f"checkpoint.{given}"),),
    )


def _one_to_keep(stage: StageSubject) -> Help:
    fields = ["checkpoint.keep_best"]
    if isinstance(stage.stage.checkpoint.keep_latest, Off):
        fields.append("checkpoint.keep_latest")
    shown = [stage.shown(field) for field in fields]
    return Help(f"set {' and '.join(f'{name} = 1' for name in shown)}", tuple((name, "1") for name in shown))


def _metric_to_name(stage: StageSubject) -> tuple[Help, ...]:
    return tuple(stage.fix("checkpoint.best_by", name) for name in list(measured_metrics(stage.stage.eval))[:1])


def _unmeasured(stage: StageSubject, named: str) -> Diagnostic:
    known = measured_metrics(stage.stage.eval)
    near = nearest_names(named, known) or list(known)[:3]
    ways = tuple(
        Help(f"did you mean {name}?", ((stage.shown("checkpoint.best_by"), toml_literal(name)),)) for name in near
    )
    none = (Help("give the stage an [eval] with [[eval.sets]]: checkpoints are compared by what it measures"),)
    return Diagnostic(
        CODE,
        f"{named} is measured by nothing in stage {stage.stage.name}",
        stage.labels(("checkpoint.best_by", "measured by nothing")),
        ways or none,
        rule=ID,
        paths=(stage.path("checkpoint.best_by"),),
    )


def _never_both(stage: StageSubject, saved: Checkpoint, max_steps: int) -> Iterator[Diagnostic]:
    """The end of a stage is measured and saved always; what is asked for is a choice among several."""
    settings = stage.stage.eval
    if isinstance(settings, Off):
        return
    if isinstance(saved.interval, Off) or isinstance(settings.interval, Off):
        given, way = ("checkpoint", settings.interval) if isinstance(saved.interval, Off) else ("eval", saved.interval)
        message = f"{given}.interval is off, so only the last step is both measured and saved: there is no best of them"
        ways = () if isinstance(way, Off) else (stage.fix(f"{given}.interval", way),)
    elif lcm(saved.interval, settings.interval) >= max_steps:
        message = (
            f"of {max_steps:,} steps only the last is both saved, after every {saved.interval:,}, and measured, after "
            f"every {settings.interval:,}: there is no best of them"
        )
        ways = (stage.fix("checkpoint.interval", settings.interval),) if settings.interval < max_steps else ()
    else:
        return
    yield Diagnostic(
        CODE,
        message,
        stage.labels(
            ("checkpoint.keep_best", "best ones"), ("checkpoint.interval", "saved"), ("eval.interval", "measured")
        ),
        ways or (Help(f"or leave {stage.shown('checkpoint.keep_best')} out"),),
        rule=ID,
        paths=(stage.path("checkpoint.interval"), stage.path("eval.interval")),
    )
