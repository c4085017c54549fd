"""Engines have a pinned version.

What: a version that a spec names is a version; a warning where it is not the one that the target pins, since names and
types of the engine's own settings are then checked against another release.  An engine of rlc's own has none.
Why it matters: an engine that is a release older takes other settings and has other faults; a plan that does not say
which one it was made for cannot be compared with the next.
Example: `rollout.engine.version = "0.5.9"` on a target that pins SGLang 0.5.23: advisories are those of 0.5.9.
Fix: leave it out; or keep it, and say in `allow` why the older release is run.
Source: ENV-04; targets/gpu/base.toml has the pins.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._versions import version_key

CODE = "RLC0513"
ID = "ENV-04"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report versions that somebody wrote and that are none, or not the pinned one."""
    seen: set[tuple[str, object]] = set()
    for stage in subject.stages():
        for role in ("rollout", "train"):
            path = f"{role}.engine.version"
            if role == "rollout" and isinstance(stage.stage.rollout, Off):
                continue
            version = read(stage.stage, path)
            if stage.written(path) and (stage.shown(path), version) not in seen:
                seen.add((stage.shown(path), version))
                yield from _check_version(stage, role, path, version)


def _check_version(stage: StageSubject, role: str, path: str, version: object) -> Iterator[Diagnostic]:
    subject, name = stage.subject, str(read(stage.stage, f"{role}.engine.name"))
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    pinned = target.version_of(name)
    if pinned is None:
        if not isinstance(version, Off):
            comes = name in (*target.rollout_engines, *target.train_engines)  # else another rule says more
            message = f"{name} is no engine with a version of its own"
            yield from [_diagnostic(stage, message, path, "of what?", "error")] if comes else ()
        return
    if isinstance(version, Off) or not _is_version(str(version)):
        said = '"off"' if isinstance(version, Off) else f"`{version}`"
        yield _diagnostic(stage, f"{said} is no version of {name}", path, f"such as {pinned}", "error")
    elif version_key(str(version)) != version_key(pinned):
        message = f"target {target.name} pins {name} {pinned}: settings of {version} are checked against that"
        yield _diagnostic(stage, message, path, "another version", "warning")


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except ValueError:
        return False
    return True


def _diagnostic(stage: StageSubject, message: str, path: str, label: str, severity: str) -> Diagnostic:
    return Diagnostic(
        CODE,
        message,
        stage.labels((path, label)),
        (Help(f"leave {stage.shown(path)} out", unsets=(stage.shown(path),)),),
        rule=ID,
        severity="warning" if severity == "warning" else "error",
        paths=(stage.path(path),),
    )
