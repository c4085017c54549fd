"""What ends a stage early is measured.

What: the metric of `until` is one that the evaluation of the stage measures: its kind is among `eval.metrics`, its k
among `eval.k`.
Why it matters: a bound on what nobody measures is never met, and the stage takes all its steps.
Example: `until = "eval.heldout.pass@8 >= 0.5"` with `eval.samples_per_prompt = 4`.
Fix: name a metric that is measured, or measure it: `eval.samples_per_prompt = 8`.
Source: EVAL-04.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.data import EvalSet, Until
from compiler.ir.evaluated import metrics_over_samples, sampled_sets
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject, toml_literal

CODE = "RLC0373"
ID = "EVAL-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report bounds on a number of responses that the evaluation does not look at."""
    for stage in subject.stages():
        until, settings = stage.stage.until, stage.stage.eval
        if isinstance(until, Off) or isinstance(settings, Off):
            continue
        start, _, kind = until.metric.rpartition("/")
        measured = next((s for s in sampled_sets(settings) if start == f"eval/{s.name}"), None)
        if "@" in kind and measured is not None and kind not in metrics_over_samples(measured):
            yield _diagnostic(stage, until, measured, kind)


def _diagnostic(stage: StageSubject, until: Until, measured: EvalSet[object], kind: str) -> Diagnostic:
    there = (*metrics_over_samples(measured), "accuracy")
    near = [name for name in there if name.partition("@")[0] == kind.partition("@")[0]] or nearest_names(kind, there)
    ways = []
    for name in near or there:
        literal = toml_literal(f"eval.{measured.name}.{name} {until.op} {until.threshold:g}")
        ways.append(Help(f"set {stage.shown('until')} = {literal}", ((stage.shown("until"), literal),)))
    return Diagnostic(
        CODE,
        f"{kind} of {measured.name} is not measured; there is {', '.join(there)}",
        stage.labels(("until", "waits for it")),
        tuple(ways[-1:]),
        rule=ID,
        paths=(stage.path("until"),),
    )
