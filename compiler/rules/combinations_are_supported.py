"""Combinations are supported.

What: engine, architecture, parallelism and placement go together, as the target's table of limits says.
Why it matters: a combination that no engine supports fails late, or is silently not done; one that nobody has tried is
for the user to know of.  Each row of the table cites where it is from.
Example: `train.engine.name = "fsdp2"` with `parallel.pp = 2`.
Fix: the message names the settings; an unproven combination is a warning, which `allow` may drop with a reason.
Source: PAR-04, ENV-02; targets/gpu/base.toml, targets/<name>/target.toml.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.catalogue import Limit
from compiler.ir.subject import Subject, toml_literal
from compiler.planner.conditions import places_where, said, value_at

CODE = "RLC0512"
ID = "PAR-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what the target's table of limits holds against the settings."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for limit in target.limits:
        for paths in places_where(subject, limit.when):
            yield _diagnostic(subject, limit, paths)


def _diagnostic(subject: Subject, limit: Limit, paths: tuple[str, ...]) -> Diagnostic:
    together = " with ".join(f"{subject.shown(path)} {said(value_at(subject, path))}" for path in paths)
    verdict = {"forbidden": "does not work", "ignored": "is silently not done", "unproven": "is unproven"}[
        limit.verdict
    ]
    return Diagnostic(
        CODE,
        f"{together} {verdict}: {limit.why}",
        subject.labels(
            *((path, f"source: {limit.source}" if path == paths[-1] else "together with this") for path in paths)
        ),
        alternatives(*_ways(subject, limit, paths)),
        rule=ID,
        severity="warning" if limit.verdict == "unproven" else "error",
        paths=paths,
    )


def _ways(subject: Subject, limit: Limit, paths: tuple[str, ...]) -> Iterator[Help]:
    """A number that the row no longer names, or else another engine."""
    numbers: list[tuple[str, object]] = []
    engines: list[tuple[str, object]] = []
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    known = {"train.engine.name": target.train_engines, "rollout.engine.name": target.rollout_engines}
    for path, (name, wanted) in zip(paths, limit.when, strict=True):
        if isinstance(wanted, str) and wanted.startswith(">"):
            numbers.append((path, int(wanted[1:])))
        engines += ((path, engine) for engine in known.get(name, ()) if engine != wanted)
    for path, value in numbers or engines:
        literal, shown = toml_literal(value), subject.shown(path)
        yield Help(f"set {shown} = {literal}", ((shown, literal),))
