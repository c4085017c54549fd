"""Engines are on the target.

What: the rollout engine, the training engine and the model's architecture are ones that the target has, and its engines
compute what the model is: its kind of attention, its experts, how its positions are stretched.  A reward model is of an
architecture that rewards can read again.
Why it matters: an engine that the target's container does not carry fails when the job starts, not when it is written.
Example: `rollout.engine.name = "sglang"` with `cluster.target = "cpu"`.
Fix: leave the engine out, and the target's default is taken.
Source: PAR-04, the part that one device can break; targets/<name>/target.toml.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.algorithm import TaughtParams
from compiler.ir.catalogue import TargetEntry
from compiler.ir.loss import ScoreLoss
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.paths import read
from compiler.ir.record import Record
from compiler.ir.subject import StageSubject, Subject, toml_literal

CODE = "RLC0502"
ID = "PAR-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines, architectures and facts of a model that the target does not list."""
    experiment = subject.experiment
    target = subject.catalogue.load_target(experiment.cluster.target)
    for stage in subject.stages():
        pairs = [("train.engine.name", stage.stage.train.engine.name, target.train_engines)]
        if not isinstance(stage.stage.rollout, Off):
            pairs.append(("rollout.engine.name", stage.stage.rollout.engine.name, target.rollout_engines))
        for field, name, has in pairs:
            if isinstance(name, str) and name not in has:
                yield Diagnostic(
                    CODE,
                    f"target {target.name} has no engine {name}",
                    subject.labels(("cluster.target", "this target"), (stage.path(field), "not on it")),
                    alternatives(
                        *(stage.fix(field, e) for e in has[:2]), Help("leave it out", unsets=(stage.shown(field),))
                    ),
                    rule=ID,
                    paths=(stage.path(field), "cluster.target"),
                )
        if isinstance(stage.stage.algorithm.loss, ScoreLoss) and experiment.model.family in target.no_reward_models:
            yield _unread(subject, experiment.model.family, stage)
    yield from _model(subject, target, experiment.model, "model")
    for stage in subject.stages():
        params = stage.stage.algorithm
        if isinstance(params, TaughtParams):
            yield from _model(subject, target, params.teacher, stage.path("teacher"))


def _unread(subject: Subject, family: str, stage: StageSubject) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"transformers has no sequence classification of {family}, so no reward could read this reward model",
        subject.labels((stage.path("algo.name"), "trains one"), ("model.family", "of this architecture")),
        (Help("train the reward model on another architecture"),),
        rule=ID,
        paths=("model.family", stage.path("algo.name")),
    )


def _model(subject: Subject, target: TargetEntry, model: Model[Auto], at: str) -> Iterator[Diagnostic]:
    """What a model is that the engines do not know."""
    if model.family in target.families:
        yield from _facts(subject, target, model, at)
        return
    yield Diagnostic(
        CODE,
        f"the engines of target {target.name} do not know the architecture {model.family}",
        subject.labels((f"{at}.family", "not on this target")),
        (Help(f"they know: {', '.join(target.families)}"),),
        rule=ID,
        paths=(f"{at}.family", "cluster.target"),
    )


def _facts(subject: Subject, target: TargetEntry, model: Model[Auto], at: str) -> Iterator[Diagnostic]:
    """What the model has and the engines do not compute."""
    for path, values in target.facts:
        try:
            value = read(model, path)
        except KeyError:
            continue  # below a table that the model does not have
        said = "off" if isinstance(value, Off) else value
        if said in values:
            continue
        shown = subject.shown(f"{at}.{path}")
        has = f"[{shown}]" if isinstance(value, Record) else f"{shown} = {toml_literal(said)}"
        computed = " or ".join(map(toml_literal, values))
        yield Diagnostic(
            CODE,
            f"the engines of target {target.name} do not compute {has}",
            subject.labels(("cluster.target", "this target"), (f"{at}.{path}", f"only {computed} is computed there")),
            (Help("choose another target, or another model: rlc models lists those of the library"),),
            rule=ID,
            paths=(f"{at}.{path}", "cluster.target"),
        )
