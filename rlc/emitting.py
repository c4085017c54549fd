"""From a plan to the files that bring it to a cluster, and from these to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.emit.artefacts._job import job_of
from compiler.emit.artefacts._rendering import MARK, EmittedFile
from compiler.emit.artefacts.catalogue import PLAN_FILE, Artefact
from compiler.frontend.choice import choose
from compiler.ir.plan import Plan
from rlc.catalogue import load_container, scan
from rlc.running import read_saved_plan, replace_file

_LARGEST_KEPT = 1 << 20


class Emitted(NamedTuple):
    """What was made: the plan, its warnings, and the files."""

    plan: Plan
    warnings: tuple[Diagnostic, ...]
    files: tuple[EmittedFile, ...]


def emit(artefact: Artefact, path: Path, *, overrides: Sequence[str] = ()) -> Emitted:
    """Return the files of an artefact for a spec, or for a saved plan.

    Raises: SpecError for what is wrong with the experiment, or keeps it from being launched this way.
    """
    plan, warnings = _plan(path, overrides)
    job = job_of(plan, load_container(plan.experiment.cluster.target))
    return Emitted(plan, warnings, artefact.files(job))


def write(files: Sequence[EmittedFile], folder: Path) -> None:
    """Write files into a folder; those that rlc wrote there before are replaced.

    Raises: SpecError RLC0805 for a file of somebody else's under such a name, RLC0022 if the folder cannot be written.
    """
    foreign = [file.name for file in files if _is_foreign(folder / file.name)]
    if foreign:
        message = f"{folder} has a {foreign[0]} that rlc emit did not write"
        raise SpecError(Diagnostic("RLC0805", message, help=(Help("name another folder: -o DIR"),)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            replace_file(folder / file.name, file.text)
            if file.is_script:
                (folder / file.name).chmod(0o755)
    except OSError as fault:
        way = Help("name a folder that may be written: -o DIR")
        message = f"{folder} cannot be written: {(fault.strerror or str(fault)).lower()}"
        raise SpecError(Diagnostic("RLC0022", message, help=(way,))) from fault


def _plan(path: Path, overrides: Sequence[str]) -> tuple[Plan, tuple[Diagnostic, ...]]:
    catalogue = scan()
    if path.suffix == ".json" and choose(path).name is None:
        if overrides:
            message = "a saved plan is launched as it is: --set changes a spec"
            raise SpecError(Diagnostic("RLC0017", message, help=(Help("name the spec instead"),)))
        plan = read_saved_plan(path, catalogue)
        name = plan.experiment.cluster.target
        if name not in catalogue.targets:
            message = f"this rlc has no target {name[:60]!r}: it has {', '.join(catalogue.targets)}"
            raise SpecError(Diagnostic("RLC0503", message, paths=("cluster.target",)))
        return plan, ()
    compiled = compile_spec(path, catalogue, overrides=overrides)
    if compiled.plan is None:
        raise SpecError(*compiled.diagnostics)
    return compiled.plan, compiled.diagnostics


def _is_foreign(file: Path) -> bool:
    """Whether there is a file that is neither marked nor a plan, or something else than a file."""
    if file.is_symlink() or (file.exists() and not file.is_file()):
        return True
    try:
        text = file.read_text(encoding="utf-8") if file.stat().st_size <= 16 * _LARGEST_KEPT else ""
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, UnicodeDecodeError):
        return True
    if file.name == PLAN_FILE:
        return '"schema_version"' not in text or '"experiment"' not in text
    return MARK not in "\n".join(text.splitlines()[:2])
