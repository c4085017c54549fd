"""Every field is decided.

What: what the spec leaves out has a default, or follows from what it says; two unknowns of one equation are an error
that names both.
Why it matters: a guessed batch is a different experiment.
Example: a spec that says neither `rollout.prompts_per_step` nor `train.global_batch`.
Fix: say one of them, and the other is derived.
Source: the language's rule that there is no search and no last-wins.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.equations import EQUATIONS
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._solved_fixes import said_values

CODE = "RLC0313"
ID = ""

# A budget is open where a batch is; prompts and contexts are where a response leaves no room (RLC0307); sides and axes
# are where no GPU is named, or their sizes do not come out even (RLC0504, RLC0505, RLC0506); a format is where a suffix
# says nothing (RLC0362).
_SAID_ELSEWHERE = ("budget", "max_prompt_tokens", "max_context_tokens", "format")
_TABLES_SAID_ELSEWHERE = ("placement", "parallel")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report equations with two unknowns, and open fields that no equation is about."""
    explained: set[str] = set()
    for stage in subject.stages():
        for diagnostic in _two_unknowns(stage):
            explained.update(diagnostic.paths)
            yield diagnostic
        for equation in EQUATIONS:
            unknowns = equation.unknowns(equation.factors(stage.stage))
            explained.update(stage.path(f) for f in unknowns)
    for path, value in leaves(subject.experiment):
        if not isinstance(value, Auto) or path in explained:
            continue
        if path.partition(".")[0] not in _TABLES_SAID_ELSEWHERE and path.rpartition(".")[2] not in _SAID_ELSEWHERE:
            yield Diagnostic(
                CODE, f"{subject.shown(path)} is not decided", help=(Help("write a value for it"),), paths=(path,)
            )


def _two_unknowns(stage: StageSubject) -> Iterator[Diagnostic]:
    done: set[str] = set()
    # What one equation asks of a field, and no whole number gives, is said by that equation's own rule.
    asked = {unknowns[0] for e in EQUATIONS if len(unknowns := e.unknowns(e.factors(stage.stage))) == 1}
    for equation in EQUATIONS:
        values = equation.factors(stage.stage)
        unknowns = [f for f in equation.unknowns(values) if f not in done]
        if len(equation.unknowns(values)) < 2 or not unknowns or not asked.isdisjoint(unknowns):
            continue
        done.update(unknowns)
        shown = [stage.shown(f) for f in equation.unknowns(values)]
        yield Diagnostic(
            CODE,
            f"{' and '.join(shown)} are not decided: the {equation.name} has one unknown too many",
            stage.labels(*said_values(stage, values)),
            tuple(Help(f"{'or ' * (i > 0)}write {field}: {_rest(shown, field)}") for i, field in enumerate(shown[:2])),
            paths=tuple(stage.path(f) for f in unknowns),
        )


def _rest(shown: list[str], written: str) -> str:
    rest = [field for field in shown if field != written]
    return f"{' and '.join(rest)} then follow{'s' * (len(rest) == 1)} from it"
