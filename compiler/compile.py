"""Spec -> Plan: the way of a spec on one page.

load (text to Value) - lower (Value to Experiment and Provenance) - passes - rules - freeze (Experiment to Plan).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from compiler.allowances import without_allowed
from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.freeze import freeze
from compiler.frontend.call_sites import with_call_sites
from compiler.frontend.choice import Chosen, choose
from compiler.frontend.loader import Loaded, load
from compiler.frontend.roots import Place, has_policy
from compiler.frontend.session import Session
from compiler.frontend.value import Table
from compiler.ir.catalogue import Catalogue
from compiler.ir.paths import read
from compiler.ir.plan import Plan
from compiler.ir.shrunk import Change, Shrunk
from compiler.ir.subject import Subject
from compiler.lowering.lower import Lowered, lower
from compiler.passes.pipeline import run_pipeline
from compiler.rules.catalogue import ABOUT_LOOPS, load_rules

if TYPE_CHECKING:
    from compiler.constraints.constrained import Constrained


class Compiled(NamedTuple):
    """A plan with what is known about it; `plan` is None where the diagnostics hold an error.

    `broken` are the paths of fields that could not be read and hold stand-ins.
    """

    plan: Plan | None
    subject: Subject | None
    diagnostics: tuple[Diagnostic, ...]
    root: Path | None
    broken: frozenset[str] = frozenset()
    shrunk: Shrunk | None = None


def compile_spec(
    path: Path,
    catalogue: Catalogue,
    *,
    overrides: Sequence[str] = (),
    shrink: bool = False,
    session: Session | None = None,
    name: str | None = None,
) -> Compiled:
    """Compile one spec; never raises for what a user wrote.

    Args:
        path: a file; of a .star file with several experiments `FILE:NAME`.
        overrides: texts of the form `path=value`, as given to --set.
        shrink: whether to change it into one that a CPU process runs in seconds; the spec as written has to compile,
            with the overrides or without: those may be meant for the small one.
        session: what was read before, where several specs are compiled in a row.
        name: the experiment of the file, where the path does not say it.
    """
    session = session or Session(catalogue.stdlib, catalogue.cache)
    spec = choose(path) if name is None else Chosen(path, name)
    whole = _compile(spec, catalogue, overrides, session)
    if not shrink or whole.subject is None:
        return whole
    if whole.plan is None and (not overrides or _compile(spec, catalogue, (), session).plan is None):
        return whole
    from compiler.lowering.shrink import shrunk_changes, shrunk_layers

    changes = shrunk_changes(whole.subject)
    layers = shrunk_layers(changes, has_stage_list=whole.subject.has_stage_list)
    small = _compile(spec, catalogue, overrides, session, layers=layers, may_ignore=True)
    if small.subject is None:
        return small
    return small._replace(shrunk=_outcome(changes, small.subject))


def compile_all(
    path: Path,
    catalogue: Catalogue,
    *,
    overrides: Sequence[str] = (),
    shrink: bool = False,
    session: Session | None = None,
) -> Iterator[tuple[str, Compiled]]:
    """Compile every experiment of a spec one by one, and yield each with its name.

    A file is read, and run, once.  The name is empty where the file holds a single experiment, or none that is known.
    """
    session = session or Session(catalogue.stdlib, catalogue.cache)
    for name in experiments_of(path, session):
        one = name or None
        yield name, compile_spec(path, catalogue, overrides=overrides, shrink=shrink, session=session, name=one)


def experiments_of(path: Path, session: Session) -> tuple[str, ...]:
    """Return the names by which the experiments of a spec are chosen; one empty name where there is no choice."""
    chosen = choose(path)
    place = session.place(chosen.path, Reporter()) if chosen.path.suffix == ".star" and chosen.name is None else None
    spec = None if place is None else session.spec(place, reporter=Reporter())
    return ("",) if spec is None or len(spec.names) < 2 else spec.names


def _compile(
    spec: Chosen,
    catalogue: Catalogue,
    overrides: Sequence[str],
    session: Session,
    *,
    layers: Sequence[Table] = (),
    may_ignore: bool = False,
) -> Compiled:
    """Compile a spec with further layers.

    Args:
        may_ignore: whether keys may be left unread; which ones stays in the subject.
    """
    reporter = Reporter()
    loaded = load(spec, overrides, session, reporter, layers=layers)
    if loaded is None:
        return Compiled(None, None, tuple(reporter.diagnostics), None)
    lowered = lower(loaded, catalogue, reporter)
    subject, broken = lowered.subject, lowered.broken
    subject.origins.judges = _check_loops
    constrained = _constrained(loaded, lowered, session, reporter)
    if constrained is None:
        subject = subject._replace(experiment=run_pipeline(subject.experiment, subject.origins, catalogue))
    else:
        subject, spoilt = constrained.resolved(reporter, is_shrunk=may_ignore)
        broken |= spoilt
    judged = subject._replace(unread=()) if may_ignore else subject
    said = without_allowed(judged, check_rules(judged), is_shrunk=may_ignore)
    if constrained is not None:
        said = constrained.with_faults(subject, said, is_shrunk=may_ignore)
    for diagnostic in _independent(said, broken):
        reporter.add(diagnostic)
    if constrained is not None and not reporter.has_errors and not may_ignore:
        for diagnostic in constrained.policy_faults(subject):
            reporter.add(diagnostic)
    plan = None if reporter.has_errors else freeze(subject.experiment, catalogue.load_hardware)
    found = with_call_sites(reporter.diagnostics, loaded.value)
    return Compiled(plan, subject, found, loaded.root, broken)


def _constrained(loaded: Loaded, lowered: Lowered, session: Session, reporter: Reporter) -> Constrained | None:
    """Return what a spec states beyond values, and what a policy asks of it; None for most."""
    given = lowered.subject.catalogue.policies
    if not (lowered.references or loaded.requires or given or has_policy(loaded.root)):
        return None
    from compiler.constraints.constrained import Constrained, Required
    from compiler.constraints.policy import read_policy

    place = Place(Path(os.path.realpath(loaded.name)), loaded.name, loaded.root, loaded.roots)
    required = Required(loaded.requires, read_policy(given, place, session, reporter))
    return Constrained(lowered.subject, lowered.references, required, check_rules)


def _outcome(changes: Sequence[Change], subject: Subject) -> Shrunk:
    """Return the changes with what became of them; what was left to the compiler is decided now."""
    named: list[Change] = []
    for change in changes:
        after = read(subject.experiment, change.path)
        if after != change.before:
            named.append(change._replace(path=subject.shown(change.path), after=after))
    return Shrunk(tuple(named), tuple(dict.fromkeys(key.path for key in subject.unread)))


def check_rules(subject: Subject) -> Iterator[Diagnostic]:
    """Yield what every rule has to say, in the order of their codes."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for rule in load_rules(has_gpus=bool(target.vendor)):
        yield from rule.check(subject)


def _check_loops(subject: Subject) -> Iterator[Diagnostic]:
    """Yield what the rules about loops have to say: of a choice of schedule, before anything else is decided."""
    for rule in load_rules():
        if rule.code in ABOUT_LOOPS:
            yield from rule.check(subject)


def _independent(found: Iterator[Diagnostic], broken: frozenset[str]) -> Iterator[Diagnostic]:
    """Drop statements about fields that could not be read: they only follow from that."""
    for diagnostic in found:
        if not any(path in broken for path in diagnostic.paths):
            yield diagnostic
