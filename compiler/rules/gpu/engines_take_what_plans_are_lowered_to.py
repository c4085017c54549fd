"""Engines take what plans are lowered to.

What: where a spec names another version of an engine than the target pins, and what that version takes is known, every
setting that the plan is lowered to is one of that version.
Why it matters: an engine refuses an unknown word when it starts, after the cluster was waited for; and a record
of Megatron that lost a field cannot be made.
Example: `rollout.engine.version` names a release in which an option has another name.
Fix: leave the version out, which takes the one that the target pins.
Source: ENV-06; targets/launch/ has the settings, targets/engines/ what each version takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0542"
ID = "ENV-06"
_MOST = 5


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report versions that lack what a plan says to them."""
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    said: set[tuple[str, str]] = set()
    for stage in subject.stages():
        for role in ("rollout", "train"):
            if role == "rollout" and isinstance(stage.stage.rollout, Off):
                continue
            name, version = (str(read(stage.stage, f"{role}.engine.{part}")) for part in ("name", "version"))
            pinned = target.version_of(name)
            if pinned is None or version == pinned or (name, version) in said:
                continue
            said.add((name, version))
            yield from _lacking(subject, stage, role, name, (version, pinned))


def _lacking(
    subject: Subject, stage: StageSubject, role: str, name: str, versions: tuple[str, str]
) -> Iterator[Diagnostic]:
    version, pinned = versions
    if f"{name}-{version}" not in subject.catalogue.known_engines():
        return
    taken, known = (subject.catalogue.load_engine(f"{name}-{one}").options.fields() for one in versions)
    lowered = [key for key in subject.catalogue.lowered_to(name) if key in known]
    lacking = [key for key in lowered if key not in taken or taken[key].kind != known[key].kind]
    if lacking:
        path = f"{role}.engine.version"
        more = f" and {len(lacking) - _MOST} more" if len(lacking) > _MOST else ""
        yield Diagnostic(
            CODE,
            f"{name} {version} does not take {', '.join(lacking[:_MOST])}{more} as {pinned} does, "
            "which plans are lowered to",
            stage.labels((path, "this version")),
            (Help(f"leave {stage.shown(path)} out", unsets=(stage.shown(path),)),),
            rule=ID,
            paths=(stage.path(path),),
        )
