"""An organisation's policy: .star files whose top level calls `require`, over the resolved plan with its forecast.

They come from the command line, from `policy` in the root's `rlc.toml`, or are the root's `policy.star`.  A policy
checks and never sets, so that it cannot make two people's plans of one spec differ.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.requirements import Requirement, read_requirements
from compiler.frontend.roots import MARKER, POLICY, Place, find_file, find_root
from compiler.frontend.session import Session
from compiler.frontend.value import SPEC, Leaf, List


def read_policy(given: Sequence[Path], spec: Place, session: Session, reporter: Reporter) -> tuple[Requirement, ...]:
    """Return what the policies of a spec require, those of the command line first; reports what cannot be read."""
    found: dict[Requirement, None] = {}
    for place in _places(given, spec, session, reporter):
        known = session.policies.get(place.path)
        if known is None:
            known = session.policies[place.path] = _required_by(place, session, reporter)
        found |= dict.fromkeys(known)
    return tuple(found)


def _places(given: Sequence[Path], spec: Place, session: Session, reporter: Reporter) -> Iterator[Place]:
    for path in given:
        if path.suffix == ".star":
            yield Place(Path(os.path.realpath(path)), str(path), find_root(path))
        else:
            way = Help('a policy calls require("EXPRESSION", "WHY") at its top, and its name ends in .star')
            reporter.add(Diagnostic("RLC0326", f"{path} is no policy: it is not Starlark by its name", help=(way,)))
    named = list(_named(spec, session, reporter))
    if named:
        yield from named
    elif os.path.isfile(spec.root / POLICY):
        yield Place(spec.root / POLICY, _beside(spec, POLICY), spec.root)


def _named(spec: Place, session: Session, reporter: Reporter) -> Iterator[Place]:
    """The files that the root's rlc.toml names."""
    marker = Place(spec.root / MARKER, _beside(spec, MARKER), spec.root)
    if not os.path.isfile(marker.path) or not marker.path.read_bytes().strip():
        return
    trees = session.trees(marker, named_at=None, reporter=Reporter())  # what is wrong with it is said elsewhere
    node = None if trees is None else trees.table(SPEC).get("policy")
    for item in node.items if isinstance(node, List) else () if node is None else (node,):
        if not isinstance(item, Leaf) or not isinstance(item.value, str):
            continue
        if not item.value.endswith(".star"):
            label = Label(item.span, "not Starlark by its name", is_primary=True)
            reporter.add(Diagnostic("RLC0326", f"{item.value} is no policy", (label,), (Help("write a .star file"),)))
            continue
        place = find_file(item.value, item.span, named_in=marker, reporter=reporter)
        if place is not None and session.source(place, named_at=item.span, reporter=reporter) is not None:
            yield place


def _required_by(place: Place, session: Session, reporter: Reporter) -> tuple[Requirement, ...]:
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


def _beside(spec: Place, name: str) -> str:
    """The name that messages use for a file of the root."""
    folder = os.path.relpath(spec.root / name, spec.path.parent)
    return os.path.normpath(os.path.join(os.path.dirname(spec.name), folder))
