"""No known fault applies.

What: no row of stdlib/advisories describes the experiment: an engine, its version where the target pins one, and
settings under which somebody reported a fault.
Why it matters: such faults look like bad learning, a hang or a crash hours into a run; that they are known helps only
whoever looks for them.
Example: vLLM 0.24 with a model of experts on B200: the first weight update fails.
Fix: another engine, version or setting; a fault that need not show up is a warning, which `allow` drops with a reason.
Source: ENV-03; each row cites its thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.catalogue import Advisory
from compiler.ir.subject import Subject
from compiler.rules._conditions import Condition, places_where, value_at
from compiler.rules.gpu._versions import is_within

CODE = "RLC0540"
ID = "ENV-03"
_SIDES = ("rollout.engine.name", "train.engine.name")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report advisories that describe the experiment."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for advisory in subject.catalogue.load_advisories():
        version = target.version_of(advisory.engine) or ""
        if version and not is_within(version, advisory.versions):
            continue
        side = _SIDES[0] if advisory.engine in target.rollout_engines else _SIDES[1]
        when: Condition = ((side, advisory.engine), *advisory.when)
        for paths in places_where(subject, when):
            yield _diagnostic(subject, advisory, version, paths)


def _diagnostic(subject: Subject, advisory: Advisory, version: str, paths: tuple[str, ...]) -> Diagnostic:
    """An error only where it fails every time, in a version that is known to be the one."""
    is_certain = advisory.verdict == "fails" and bool(version or not advisory.versions)
    together = ", ".join(f"{subject.shown(path)} = {value_at(subject, path)}" for path in paths[1:])
    which = f"{advisory.engine} {version or advisory.versions}".strip()
    return Diagnostic(
        CODE,
        f"{which} with {together}: {advisory.why}",
        subject.labels(
            *((path, "together with this") for path in reversed(paths[1:])),
            (paths[0], f"reported in {advisory.source}"),
        ),
        rule=ID,
        severity="error" if is_certain else "warning",
        paths=paths,
    )
