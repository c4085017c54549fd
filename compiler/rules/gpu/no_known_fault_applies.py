"""No known fault applies.

What: no row of stdlib/advisories describes the experiment: an engine, its version (the one that the target pins, or
that the spec names), and settings under which somebody reported a fault.
Why it matters: such faults look like bad learning, a hang or a crash hours into a run; that they are known helps only
whoever looks for them.
Example: vLLM 0.24 with a model of experts on B200: the first weight update fails.
Fix: another engine, version or setting; a fault that need not show up is a warning, which `allow` drops with a reason.
Source: ENV-03; each row cites its thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.catalogue import Advisory
from compiler.ir.subject import Subject
from compiler.planner.conditions import Condition, places_where, said, value_at
from compiler.rules._versions import is_within, version_key

CODE = "RLC0540"
ID = "ENV-03"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report advisories that describe the experiment."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    for advisory in subject.catalogue.load_advisories():
        role = "rollout" if advisory.engine in target.rollout_engines else "train"
        when: Condition = ((f"{role}.engine.name", advisory.engine), *advisory.when)
        for paths in places_where(subject, when):
            version = value_at(subject, f"{paths[0].removesuffix('.name')}.version")
            version = version if isinstance(version, str) and _is_version(version) else ""
            if not version or is_within(version, advisory.versions):
                yield _diagnostic(subject, advisory, version, paths)


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except ValueError:  # another rule says so
        return False
    return True


def _diagnostic(subject: Subject, advisory: Advisory, version: str, paths: tuple[str, ...]) -> Diagnostic:
    """An error only where it fails every time, in a version that is known to be the one."""
    is_certain = advisory.verdict == "fails" and bool(version or not advisory.versions)
    together = ", ".join(f"{subject.shown(path)} {said(value_at(subject, path))}" for path in paths[1:])
    which = f"{advisory.engine} {version or advisory.versions}".strip()
    version_path = f"{paths[0].removesuffix('.name')}.version"
    return Diagnostic(
        CODE,
        f"{which} with {together}: {advisory.why}",
        subject.labels(
            *((path, "together with this") for path in reversed(paths[1:])),
            (version_path, "this version"),
            (paths[0], f"reported in {advisory.source}"),
        ),
        () if subject.labels((paths[0], "")) else (Help(f"reported in {advisory.source}"),),
        rule=ID,
        severity="error" if is_certain else "warning",
        paths=(*paths, version_path),
    )
