"""A rule about [model] asked of [teacher] too: the teacher stands in the place of the model, under its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compiler.diagnostics.annotations import override
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.algorithm import TaughtParams
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.subject import StageSubject, Subject

_MODEL, _TEACHER = "model.", "teacher."


def of_every_model(subject: Subject, check: Callable[[Subject], Iterator[Diagnostic]]) -> Iterator[Diagnostic]:
    """Yield what a rule says of the model, and of the teacher of each stage that has one."""
    yield from check(subject)
    for stage in subject.stages():
        params = stage.stage.algorithm
        if isinstance(params, TaughtParams):
            experiment = subject.experiment.replacing(model=params.teacher)
            origins = _TeachersOrigins(subject.origins, stage.path(_TEACHER))
            for found in check(subject._replace(experiment=experiment, origins=origins)):
                yield _renamed(found, stage)


class _TeachersOrigins(Provenance):
    """Where the facts of a teacher stand, by the names of the model's."""

    def __init__(self, origins: Provenance, teacher: str) -> None:
        super().__init__()
        self._of_all, self._teacher = origins, teacher

    @override
    def get(self, path: str) -> Origin | None:
        return self._of_all.get(path.replace(_MODEL, self._teacher, 1) if path.startswith(_MODEL) else path)


def _renamed(found: Diagnostic, stage: StageSubject) -> Diagnostic:
    helps = tuple(
        way._replace(
            text=way.text.replace(_MODEL, _TEACHER),
            sets=tuple((path.replace(_MODEL, _TEACHER, 1), value) for path, value in way.sets),
        )
        for way in found.help
    )
    paths = tuple(p.replace(_MODEL, stage.path(_TEACHER), 1) for p in found.paths)
    return found._replace(message=f"of the teacher: {found.message}", help=helps, paths=paths)
