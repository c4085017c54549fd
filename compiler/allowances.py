"""What an experiment is allowed to break: statements of rules that `allow` names, with a written reason, are dropped.

Every warning is a matter of judgement, an error only where its rule says so (`Diagnostic.is_judgement`).  What could
not run, or not learn, is never let through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.allowance import Allowance
from compiler.ir.subject import Subject
from compiler.rules.catalogue import Rule, load_rules


def without_allowed(subject: Subject, found: Iterable[Diagnostic], *, is_shrunk: bool = False) -> Iterator[Diagnostic]:
    """Yield what is left to say, and what is wrong with the allowances: RLC0330, and RLC0331 for idle ones.

    Args:
        is_shrunk: whether it is the small experiment of `--shrink`, where an allowance of the large one may be idle.
    """
    allowances = subject.experiment.allow
    if not allowances:
        yield from found
        return
    waived: set[int] = set()
    for diagnostic in found:
        at = next((i for i, a in enumerate(allowances) if _covers(a, diagnostic)), None)
        if at is None:
            yield diagnostic
        elif diagnostic.severity == "error" and not diagnostic.is_judgement:
            waived.add(at)
            yield diagnostic
            yield _not_a_matter_of_judgement(subject, at, diagnostic)
        else:
            waived.add(at)
    for at, allowance in enumerate(allowances):
        fault = _fault(subject, at, allowance)
        if fault is not None:
            yield fault
        elif at not in waived and not is_shrunk:
            yield _idle(subject, at, allowance)


def _covers(allowance: Allowance, diagnostic: Diagnostic) -> bool:
    return (
        bool(allowance.why.strip()) and allowance.rule in (diagnostic.code, diagnostic.rule) and bool(diagnostic.rule)
    )


def _named(rules: Iterable[Rule]) -> list[str]:
    return [name for rule in rules for name in (rule.code, rule.id) if name]


def _fault(subject: Subject, at: int, allowance: Allowance) -> Diagnostic | None:
    known = _named(load_rules())
    path = f"allow.{at}"
    if allowance.rule not in known:
        near = nearest_names(allowance.rule, known)
        meant = f'"{near[0]}"' if len(near) == 1 else ""
        helps = tuple(Help(f'did you mean "{name}"?', replaced=meant) for name in near)
        helps = helps or (Help("rlc rules lists them"),)
        labels = subject.labels((f"{path}.rule", "no rule has this code or id"))
        return Diagnostic("RLC0330", f"there is no rule {allowance.rule}", labels, helps, paths=(f"{path}.rule",))
    if not allowance.why.strip():
        labels = subject.labels((f"{path}.why", "no reason"))
        way = Help('write why = "...": whoever reviews the plan reads it')
        return Diagnostic("RLC0330", f"{allowance.rule} is allowed without a reason", labels, (way,))
    return None


def _not_a_matter_of_judgement(subject: Subject, at: int, found: Diagnostic) -> Diagnostic:
    labels = subject.labels((f"allow.{at}.rule", "cannot be allowed"))
    message = f"{found.code} is not a matter of judgement: what breaks it cannot run, or cannot learn"
    return Diagnostic("RLC0330", message, labels, (Help("delete the allowance and mend the fault"),))


def _idle(subject: Subject, at: int, allowance: Allowance) -> Diagnostic:
    labels = subject.labels((f"allow.{at}.rule", "nothing here breaks it"))
    message = f"{allowance.rule} is allowed, and holds anyway"
    return Diagnostic("RLC0331", message, labels, (Help("delete the allowance"),), severity="warning")
