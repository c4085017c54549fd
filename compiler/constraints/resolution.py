"""An experiment, resolved with the references and the equations that its spec states.

A reference is decided as soon as all that it reads is.  What it reads may be derived by a pass from other fields, so
the pipeline runs with stand-ins first: whatever does not come from a stand-in is already what it will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.constraints.arithmetic import said
from compiler.constraints.choices import Refuses
from compiler.constraints.circles import circle_faults
from compiler.constraints.equations import Equations
from compiler.constraints.evaluate import OpenFieldError, Surroundings, Use, Value, evaluate, uses
from compiler.constraints.expression import Expression, read_expression
from compiler.constraints.names import AbsentError, Names
from compiler.constraints.statements import Setting, Statement
from compiler.diagnostics.diagnostic import Diagnostic, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import replaced
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.subject import Subject
from compiler.lowering.references import Reference
from compiler.passes.pipeline import run_pipeline


class Referred(NamedTuple):
    """A reference that could be read, with the fields that it names."""

    reference: Reference
    expression: Expression
    stage: int | None
    uses: tuple[Use, ...]

    @property
    def path(self) -> str:
        """The path of its field."""
        return self.reference.path

    @property
    def reads(self) -> tuple[str, ...]:
        """The paths of the fields that it names, each once."""
        return tuple(dict.fromkeys(use.path for use in self.uses))


class Outcome(NamedTuple):
    """A resolved experiment; `broken` are the paths of fields that could not be decided and what follows from them."""

    experiment: Experiment[Auto]
    origins: Provenance
    diagnostics: tuple[Diagnostic, ...]
    broken: frozenset[str]


class Resolver:
    """Resolves one experiment, as it is written or with some fields changed."""

    def __init__(self, subject: Subject, setting: Setting, statements: Sequence[Statement]) -> None:
        self.subject = subject
        self.setting = setting
        self.origins = dict(subject.origins.items())
        self.equations = Equations(statements, setting)
        self.referred: list[Referred] = []
        self.unreadable: list[tuple[str, Diagnostic]] = []
        self.refuses: Refuses | None = None

    def read(self, references: Iterable[Reference]) -> None:
        """Add references; what cannot be read is told in every outcome."""
        for reference in references:
            stage = int(reference.path.split(".")[1]) if reference.path.startswith("stages.") else None
            try:
                expression = read_expression(
                    reference.value, reference.span, self.setting.cache, inside=reference.inside
                )
                named = uses(expression, self.around(self.subject.experiment, stage))
                self.referred.append(Referred(reference, expression, stage, named))
            except AbsentError as absent:
                self.unreadable.append((reference.path, _absent(absent)))
            except SpecError as fault:
                self.unreadable += [(reference.path, diagnostic) for diagnostic in fault.diagnostics]

    def around(self, experiment: Experiment[Auto], stage: int | None) -> Surroundings:
        """Return what an expression of a stage is evaluated in."""
        return Surroundings(self.setting.names(experiment, stage), self.setting.catalogue)

    def resolve(self, changes: Mapping[str, object] | None = None) -> Outcome:
        """Return the experiment with everything decided that can be.

        Args:
            changes: values that take the place of what is written, by path.
        """
        run = _Run(self, changes or {})
        while run.step():
            pass
        return run.outcome()


class _Run:
    def __init__(self, resolver: Resolver, changes: Mapping[str, object]) -> None:
        self.resolver = resolver
        self.start = resolver.subject.experiment
        self.known: dict[str, tuple[Value, tuple[str, ...]]] = {}
        self.written = dict(resolver.origins)
        for path, value in changes.items():
            self.start = replaced(self.start, path, value)
            self.written[path] = Origin("override")
        self.pending = {r.path: r for r in resolver.referred if r.path not in changes}
        self.faults: list[Diagnostic] = []
        self.lost: set[str] = set()
        for path, fault in resolver.unreadable:
            if path not in changes:
                self.fail(path, (fault,))
        self.origins = Provenance()
        self.experiment = self.start

    def step(self) -> bool:
        """Run the pipeline, and decide what can be decided then; returns whether that was anything."""
        self.origins = Provenance()
        for path, origin in self.written.items():
            self.origins.record(path, origin)
        self.origins.read = frozenset(path for referred in self.resolver.referred for path in referred.reads)
        self.origins.refuses = self.resolver.refuses
        self.origins.judges = self.resolver.subject.origins.judges
        catalogue = self.resolver.subject.catalogue
        self.experiment = run_pipeline(self.start, self.origins, catalogue, self.resolver.equations.solve_one)
        tainted = self.following((*self.pending, *self.lost))
        ready = [r for r in self.pending.values() if all(self.is_decided(path, tainted) for path in r.reads)]
        for referred in ready:
            del self.pending[referred.path]
            self.decide(referred)
        return bool(ready)

    def outcome(self) -> Outcome:
        if self.pending:
            found = circle_faults(self.pending, self.origins, self.shown)
            self.faults += found
            self.lost.update(self.pending)
        for path, (before, _) in self.known.items():
            referred = next(r for r in self.resolver.referred if r.path == path)
            if path not in self.lost and self.value(referred) != before:
                self.faults += circle_faults({path: referred}, self.origins, self.shown, is_certain=True)
                self.lost.add(path)
        broken = frozenset(self.following(self.lost))
        return Outcome(self.experiment, self.origins, tuple(self.faults), broken)

    def decide(self, referred: Referred) -> None:
        try:
            value = evaluate(referred.expression, self.resolver.around(self.experiment, referred.stage))
        except SpecError as fault:
            self.fail(referred.path, fault.diagnostics)
            return
        except AbsentError as absent:
            self.fail(referred.path, (_absent(absent),))
            return
        accepted = referred.reference.accept(value, said(value))
        if isinstance(accepted, Diagnostic):
            labels = [*accepted.labels]
            places = {label.span for label in labels}
            # What a lone reference comes to is said of the whole.
            parts = [use for use in referred.uses if use.node is not referred.expression.tree]
            for use in () if referred.expression.whole else parts:
                span = referred.expression.span(use.node)
                if span not in places and isinstance(self.names(referred).value(use.path), (int, float, str)):
                    labels.append(Label(span, said(self.value_of(referred, use))))
            self.fail(referred.path, (accepted._replace(labels=tuple(labels)),))
            return
        self.known[referred.path] = value, referred.reads
        self.start = replaced(self.start, referred.path, accepted)
        self.written[referred.path] = self.written[referred.path]._replace(inputs=self.fields(referred.reads))

    def value(self, referred: Referred) -> Value:
        try:
            return evaluate(referred.expression, self.resolver.around(self.experiment, referred.stage))
        except (SpecError, AbsentError, OpenFieldError):
            return None

    def value_of(self, referred: Referred, use: Use) -> Value:
        return evaluate(referred.expression, self.resolver.around(self.experiment, referred.stage), use.node)

    def names(self, referred: Referred) -> Names:
        return self.resolver.setting.names(self.experiment, referred.stage)

    def fail(self, path: str, faults: Iterable[Diagnostic]) -> None:
        self.lost.add(path)
        self.faults += [fault._replace(paths=(*fault.paths, path)) for fault in faults]

    def fields(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those paths that are fields: a table has no origin of its own."""
        return tuple(path for path in paths if path in self.origins)

    def is_decided(self, path: str, tainted: set[str]) -> bool:
        return path not in tainted and not isinstance(self.resolver.setting.names(self.experiment, 0).value(path), Auto)

    def following(self, paths: Iterable[str]) -> set[str]:
        """Some fields with all that was derived from them."""
        by_input: dict[str, list[str]] = {}
        for path, origin in self.origins.items():
            for source in origin.inputs:
                by_input.setdefault(source, []).append(path)
        found: set[str] = set()
        waiting = list(paths)
        for path in waiting:  # grows while it is read
            if path not in found:
                found.add(path)
                waiting += by_input.get(path, ())
        return found

    def shown(self, path: str) -> str:
        return self.resolver.subject.shown(path)


def _absent(absent: AbsentError) -> Diagnostic:
    labels = () if absent.span is None else (Label(absent.span, "not in this stage", is_primary=True),)
    return Diagnostic("RLC0221", f"this stage has no field {absent.shown}", labels)
