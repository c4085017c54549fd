"""An organisation's policy: .star files whose top level calls `require`, over the resolved plan with its forecast.

They come from the command line, from `policy` in the root's `rlc.toml` (which may name files of further roots by their
labels), or are the root's `policy.star`.  A policy
checks and never sets, so that it cannot make two people's plans of one spec differ.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.marker import marker_of, policy_leaves, read_marker
from compiler.frontend.requirements import Requirement, read_requirements
from compiler.frontend.roots import POLICY, Place, find_file, find_further, is_further
from compiler.frontend.session import Session
from compiler.frontend.value import SPEC


def read_policy(given: Sequence[Path], spec: Place, session: Session, reporter: Reporter) -> tuple[Requirement, ...]:
    """Return what the policies of a spec require, those of the command line first; reports what cannot be read."""
    found: dict[Requirement, None] = {}
    for place in _places(given, spec, session, reporter):
        known = session.policies.get(place.path)
        if known is None:
            known = session.policies[place.path] = required_by(place, session, reporter)
        found |= dict.fromkeys(known)
    return tuple(found)


def policies_of(spec: Place, session: Session, reporter: Reporter) -> tuple[Place, ...]:
    """Return the policies of a spec's root; reports what its `rlc.toml` names and cannot be had."""
    return tuple(_places((), spec, session, reporter))


def _places(given: Sequence[Path], spec: Place, session: Session, reporter: Reporter) -> Iterator[Place]:
    for path in given:
        if path.suffix == ".star":
            place = session.place(path, reporter)
            if place is not None:
                yield place
        else:
            way = Help('a policy calls require("EXPRESSION", "WHY") at its top, and its name ends in .star')
            reporter.add(Diagnostic("RLC0326", f"{path} is no policy: it is not Starlark by its name", help=(way,)))
    named = list(_named(spec, session, reporter))
    if named:
        yield from named
    elif os.path.isfile(spec.root / POLICY):
        name = os.path.join(os.path.dirname(marker_of(spec).name), POLICY)
        yield Place(spec.root / POLICY, name, spec.root, spec.roots)


def _named(spec: Place, session: Session, reporter: Reporter) -> Iterator[Place]:
    """The files that the root's rlc.toml names."""
    marker, table = marker_of(spec), read_marker(spec, session, Reporter())  # what is wrong with it is said elsewhere
    for item in () if table is None else policy_leaves(table):
        text = str(item.value)
        if not text.endswith(".star"):
            label = Label(item.span, "not Starlark by its name", is_primary=True)
            reporter.add(Diagnostic("RLC0326", f"{text} is no policy", (label,), (Help("write a .star file"),)))
            continue
        find = find_further if is_further(text) else find_file
        place = find(text, item.span, named_in=marker, reporter=reporter)
        if place is not None and session.source(place, named_at=item.span, reporter=reporter) is not None:
            yield place


def required_by(place: Place, session: Session, reporter: Reporter) -> tuple[Requirement, ...]:
    """Return what one policy requires; reports what is wrong with it, RLC0326 where it requires nothing."""
    source = session.source(place, named_at=None, reporter=reporter)
    if source is None:
        return ()
    try:
        table = session.modules.requirements(place, source).table(SPEC)
    except SpecError as fault:
        for diagnostic in fault.diagnostics:
            reporter.add(diagnostic)
        return ()
    found = read_requirements((table,), reporter)
    if not found and not reporter.has_errors:
        label = Label(Span(source, 0, len(source.line(1))), "nothing is required", is_primary=True)
        ways = (
            Help('call require("EXPRESSION", "WHY") at the top of the file, or in a function that is called there'),
        )
        reporter.add(Diagnostic("RLC0326", f"{place.name} requires nothing", (label,), ways))
    return found
