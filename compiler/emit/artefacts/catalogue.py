"""All artefacts, found by scanning this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.emit.artefacts._job import Job
from compiler.emit.artefacts._rendering import EmittedFile

PLAN_FILE = "plan.json"


class Artefact(NamedTuple):
    """An artefact: its name, what it is, and what makes its files of a job."""

    name: str
    summary: str
    emit: Callable[[Job], Iterable[EmittedFile]]

    def files(self, job: Job) -> tuple[EmittedFile, ...]:
        """Return its files and the plan.  Raises: SpecError where the plan cannot be brought to a cluster this way."""
        return (*self.emit(job), EmittedFile(PLAN_FILE, job.plan.to_text()))


def artefacts() -> tuple[Artefact, ...]:
    """Return every artefact, by name."""
    names = (file.stem for file in Path(__file__).parent.glob("*.py"))
    return tuple(_load(name) for name in sorted(names) if not name.startswith("_") and name != "catalogue")


def artefact_called(name: str) -> Artefact:
    """Return one artefact.  Raises: SpecError RLC0801 if there is none of this name."""
    known = {artefact.name: artefact for artefact in artefacts()}
    if name in known:
        return known[name]
    near = nearest_names(name, known)
    ways = tuple(Help(f"write {one}") for one in near) or (Help(f"there are: {', '.join(known)}"),)
    raise SpecError(Diagnostic("RLC0801", f"there is no artefact {name}", help=ways))


def _load(name: str) -> Artefact:
    module = import_module(f"compiler.emit.artefacts.{name}")
    return Artefact(name, (module.__doc__ or "").partition("\n")[0].rstrip("."), module.emit)
