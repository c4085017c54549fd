"""An experiment whose spec, recipes or policy state more than values: resolved, and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Never, cast

from compiler.constraints.choices import refuses_of
from compiler.constraints.equations import open_paths
from compiler.constraints.evaluate import Surroundings
from compiler.constraints.judgement import BROKEN, FIXED_TWICE, NO_SOLUTION, POLICY, UNDECIDED, Judge
from compiler.constraints.resolution import Resolver
from compiler.constraints.statements import NEVER_JUDGED, Setting, Statement, read_statements
from compiler.constraints.ways_out import Searcher
from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.requirements import Requirement
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves
from compiler.ir.plan import Forecast
from compiler.ir.subject import Subject
from compiler.lowering.references import Reference
from compiler.planner.forecast import forecast

Check = Callable[[Subject], Iterable[Diagnostic]]

_CAN_BE_SOLVED = (BROKEN, FIXED_TWICE, NO_SOLUTION, POLICY)
_OPEN_FIELD = "RLC0313"
# A change is tried by judging every statement again: many statements leave time for few changes.
_MOST_JUDGED = 2_000


class Required(NamedTuple):
    """What a spec with its recipes requires, and what a policy does."""

    by_spec: tuple[Requirement, ...]
    by_policy: tuple[Requirement, ...] = ()


class Constrained:
    """One experiment with its references and requirements.

    Args:
        subject: the experiment as lowering leaves it.
        check: what the rules say of a subject, to hold ways out against.
    """

    def __init__(self, subject: Subject, references: Sequence[Reference], required: Required, check: Check) -> None:
        self.subject = subject
        self.policy = required.by_policy
        self.check = check
        self.setting = Setting(subject.catalogue, subject.has_stage_list)
        self.reporter = Reporter()
        self.statements = read_statements(required.by_spec, subject.experiment, self.setting, self.reporter)
        self.resolver = Resolver(subject, self.setting, self.statements)
        self.resolver.read(references)
        of_policy = read_statements(self.policy, subject.experiment, self.setting, Reporter())
        self.resolver.refuses = refuses_of((*self.statements, *of_policy), self.setting)

    def resolved(self, reporter: Reporter, *, is_shrunk: bool = False) -> tuple[Subject, frozenset[str]]:
        """Return the resolved subject, and the paths of fields that could not be decided.

        Reports what is wrong with references, and with how requirements are said.

        Args:
            is_shrunk: whether the experiment was made small: a smaller machine need not have all that is required of.
        """
        outcome = self.resolver.resolve()
        for diagnostic in (*self.reporter.diagnostics, *outcome.diagnostics):
            if not (is_shrunk and diagnostic.code == NEVER_JUDGED):
                reporter.add(diagnostic)
        return self.subject._replace(experiment=outcome.experiment, origins=outcome.origins), outcome.broken

    def with_faults(self, subject: Subject, said: Iterable[Diagnostic], *, is_shrunk: bool) -> Iterator[Diagnostic]:
        """Yield what the rules say of the resolved subject, and what is wrong with what it requires, with ways out.

        Args:
            is_shrunk: whether the experiment was made small, so that it need not be what its spec requires.
        """
        faults = [f for f in self._faults(subject, self.statements) if not (is_shrunk and f.code == BROKEN)]
        told = {path for fault in faults if fault.code in (UNDECIDED, NO_SOLUTION) for path in fault.paths}
        for diagnostic in said:
            # A requirement says more about a field that is open than that it is.
            if diagnostic.code != _OPEN_FIELD or told.isdisjoint(diagnostic.paths):
                yield diagnostic
        yield from faults

    def policy_faults(self, subject: Subject) -> Iterator[Diagnostic]:
        """Yield what is wrong with a resolved subject, of which there is a plan, by its policy."""
        reporter = Reporter()
        predicted = _forecast(subject.experiment, self.setting)
        statements = read_statements(self.policy, subject.experiment, self.setting, reporter, predicted)
        yield from reporter.diagnostics
        yield from self._faults(subject, statements)

    def _faults(self, subject: Subject, statements: Sequence[Statement]) -> Iterator[Diagnostic]:
        judge = Judge(subject, tuple(statements), self.around(subject.experiment))
        trial = _Trial(self, subject, statements)
        searcher = Searcher(subject, judge.around, trial.is_better)
        for statement in statements:
            fault = judge.fault(statement)
            if fault is None:
                continue
            excluded = subject.origins.excluded
            if fault.code in (BROKEN, POLICY) and excluded and excluded[0] == statement.requirement.why:
                way = Help(f"no layout that fits meets it; the fastest that does not: {excluded[1]}")
                fault = fault._replace(help=(way,))
            if fault.code in _CAN_BE_SOLVED and not fault.help and trial.judged < _MOST_JUDGED:
                is_open = open_paths(statement.paths, judge.around(statement).names)
                node = next(statement.equations(), None) if is_open else judge.failing_part(statement)
                fault = fault._replace(help=() if node is None else searcher.ways_out(statement, node))
            yield fault

    def around(self, experiment: Experiment[Auto]) -> Callable[[Statement], Surroundings]:
        """Return what a statement is evaluated in."""
        predicted: list[Forecast] = []

        def around(statement: Statement) -> Surroundings:
            if statement.is_policy and not predicted:
                predicted.append(_forecast(experiment, self.setting))
            names = self.setting.names(experiment, statement.stage, predicted[0] if statement.is_policy else None)
            return Surroundings(names, self.setting.catalogue)

        return around

    def errors(self, subject: Subject, statements: Sequence[Statement]) -> set[Statement]:
        """Return what does not hold of a subject: of all that its spec requires, and of some statements of a policy."""
        everything = (*self.statements, *(s for s in statements if s.is_policy))
        if _is_open(subject.experiment):
            everything = tuple(s for s in everything if not s.is_policy)
        judge = Judge(subject, everything, self.around(subject.experiment))
        return {statement for statement in everything if judge.fault(statement) is not None}

    def rule_errors(self, subject: Subject) -> Counter[str]:
        """Return how often each rule is broken."""
        return Counter(d.code for d in self.check(subject) if d.severity == "error")


class _Trial:
    """Tells whether a change makes a statement hold and breaks nothing else; nothing does once enough was judged."""

    def __init__(self, constrained: Constrained, subject: Subject, statements: Sequence[Statement]) -> None:
        self.constrained = constrained
        self.subject = subject
        self.statements = statements
        self.judged = 0

    @cached_property
    def before(self) -> tuple[set[Statement], Counter[str]]:
        return self.constrained.errors(self.subject, self.statements), self.constrained.rule_errors(self.subject)

    def is_better(self, statement: Statement, changes: Mapping[str, object]) -> bool:
        self.judged += max(1, len(self.statements))
        if self.judged > _MOST_JUDGED:
            return False
        resolver, subject = self.constrained.resolver, self.subject
        outcome = resolver.resolve(changes)
        written = tuple(w for w in subject.written_values if w.path not in changes)
        changed = subject._replace(experiment=outcome.experiment, origins=outcome.origins, written_values=written)
        if outcome.diagnostics and not resolver.unreadable:
            return False
        if _is_open(outcome.experiment) and not _is_open(subject.experiment):
            return False
        before, rule_errors = self.before
        after = self.constrained.errors(changed, self.statements)
        return statement not in after and after <= before and self.constrained.rule_errors(changed) <= rule_errors


def _is_open(experiment: Experiment[Auto]) -> bool:
    return any(isinstance(value, Auto) for _, value in leaves(experiment))


def _forecast(experiment: Experiment[Auto], setting: Setting) -> Forecast:
    return forecast(cast("Experiment[Never]", experiment), setting.catalogue.load_hardware)
