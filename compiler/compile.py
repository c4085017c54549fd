"""Spec -> Plan: the way of a spec on one page.

load (text to Value) - lower (Value to Experiment and Provenance) - passes - rules - freeze (Experiment to Plan).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.freeze import freeze
from compiler.frontend.loader import load
from compiler.ir.catalogue import Catalogue
from compiler.ir.plan import Plan
from compiler.ir.subject import Subject
from compiler.lowering.lower import lower
from compiler.passes.pipeline import run_pipeline
from compiler.rules.catalogue import load_rules


class Compiled(NamedTuple):
    """A plan with what is known about it; `plan` is None where the diagnostics hold an error.

    `broken` are the paths of fields that could not be read and hold stand-ins.
    """

    plan: Plan | None
    subject: Subject | None
    diagnostics: tuple[Diagnostic, ...]
    root: Path | None
    broken: frozenset[str] = frozenset()


def compile_spec(path: Path, catalogue: Catalogue, *, overrides: Sequence[str] = ()) -> Compiled:
    """Compile one spec file; never raises for what a user wrote.

    Args:
        overrides: texts of the form `path=value`, as given to --set.
    """
    reporter = Reporter()
    loaded = load(path, overrides, catalogue.stdlib, reporter)
    if loaded is None:
        return Compiled(None, None, tuple(reporter.diagnostics), None)
    lowered = lower(loaded, catalogue, reporter)
    subject = lowered.subject
    resolved = run_pipeline(subject.experiment, subject.origins, catalogue)
    subject = subject._replace(experiment=resolved)
    for diagnostic in _independent(check_rules(subject), lowered.broken):
        reporter.add(diagnostic)
    plan = None if reporter.has_errors else freeze(resolved)
    return Compiled(plan, subject, tuple(reporter.diagnostics), loaded.root, lowered.broken)


def check_rules(subject: Subject) -> Iterator[Diagnostic]:
    """Yield what every rule has to say, in the order of their codes."""
    for rule in load_rules():
        yield from rule.check(subject)


def _independent(found: Iterator[Diagnostic], broken: frozenset[str]) -> Iterator[Diagnostic]:
    """Drop statements about fields that could not be read: they only follow from that."""
    for diagnostic in found:
        if not any(path in broken for path in diagnostic.paths):
            yield diagnostic
