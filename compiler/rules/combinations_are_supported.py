"""Combinations are supported.

What: engine, architecture, parallelism and placement go together, as the target's table of limits says.
Why it matters: a combination that no engine supports fails late, or is silently not done; one that nobody has tried is
for the user to know of.  Each row of the table cites where it is from.
Example: `train.engine.name = "fsdp2"` with `parallel.pp = 2`.
Fix: the message names the settings; an unproven combination is a warning, which `allow` may drop with a reason.
Source: PAR-04, ENV-02; targets/<name>/target.toml.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.catalogue import Limit
from compiler.ir.paths import read
from compiler.ir.subject import Subject

CODE = "RLC0512"
ID = "PAR-04"
_OF_STAGES = ("train", "rollout", "schedule", "loss", "algo")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report what the target's table of limits holds against the settings."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for limit in target.limits:
        seen: set[tuple[str, ...]] = set()
        for index in range(len(subject.experiment.stages)):
            paths = tuple(_path(name, index) for name, _ in limit.when)
            shown = tuple(subject.shown(path) for path in paths)
            if shown not in seen and all(map(_holds, _values(subject, paths), (wanted for _, wanted in limit.when))):
                seen.add(shown)
                yield _diagnostic(subject, limit, paths)


def _path(name: str, index: int) -> str:
    return f"stages.{index}.{name}" if name.partition(".")[0] in _OF_STAGES else name


def _values(subject: Subject, paths: tuple[str, ...]) -> Iterator[object]:
    for path in paths:
        try:
            yield read(subject.experiment, path)
        except KeyError:  # a stage that samples nothing has no rollout engine, a machine without GPUs no parallelism
            yield None


def _holds(value: object, wanted: object) -> bool:
    if isinstance(wanted, str) and wanted.startswith(">"):
        return isinstance(value, int) and value > int(wanted[1:])
    return value == wanted


def _diagnostic(subject: Subject, limit: Limit, paths: tuple[str, ...]) -> Diagnostic:
    values = dict(zip(paths, _values(subject, paths), strict=True))
    together = " with ".join(f"{subject.shown(path)} = {value}" for path, value in values.items())
    verdict = {"forbidden": "does not work", "ignored": "is silently not done", "unproven": "is unproven"}[
        limit.verdict
    ]
    return Diagnostic(
        CODE,
        f"{together} {verdict}: {limit.why}",
        subject.labels(*((path, limit.source) for path in paths)),
        rule=ID,
        severity="warning" if limit.verdict == "unproven" else "error",
        paths=paths,
    )
