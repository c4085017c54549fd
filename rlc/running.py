"""From a spec or a plan to a running job: compile, check against what is there already, hand over to the runtime."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.catalogue import Catalogue
from compiler.ir.plan import Plan, read_plan
from compiler.rules.resume_keeps_the_experiment import check_resume
from rlc import environ
from rlc.catalogue import scan

_LARGEST_PLAN = 16 << 20


class Job(NamedTuple):
    """A plan, the folder that its paths are relative to, the directory of the run, and the text of the spec."""

    plan: Plan
    root: Path
    run_dir: Path
    spec_text: str


class Prepared(NamedTuple):
    """A job, or the errors that forbid it."""

    job: Job | None
    diagnostics: tuple[Diagnostic, ...]


def prepare(path: Path, *, overrides: Sequence[str], run_dir: Path | None) -> Prepared:
    """Return what is to be executed, after every check that needs no torch."""
    catalogue = scan()
    plan, root, text, diagnostics = _plan(path, catalogue, overrides)
    if plan is None:
        return Prepared(None, diagnostics)
    where = run_dir or Path("runs") / plan.experiment.name
    found = (*_cannot_execute(plan, catalogue), *_changed(plan, catalogue, where))
    if any(d.severity == "error" for d in found):
        return Prepared(None, (*diagnostics, *found))
    return Prepared(Job(plan, root, where, text), (*diagnostics, *found))


def execute(job: Job) -> int:
    """Run a job and return its exit code: 0 finished, 130 interrupted with a checkpoint saved."""
    _save(job)
    variables = job.plan.experiment.cluster.environment
    environ.apply((variable.name, variable.value) for variable in variables)
    try:
        from runtime.driver import RunPlace, run_plan
    except ImportError as fault:
        extra = job.plan.experiment.cluster.target
        ways = (Help(f"pip install 'rlc[{extra}]'"),)
        raise SpecError(
            Diagnostic("RLC0661", f"the runtime needs {fault.name}, which is not installed", (), ways)
        ) from fault
    place = RunPlace(root=job.root, run_dir=job.run_dir, stream=sys.stdout)
    return 0 if run_plan(job.plan, place) == "finished" else 130


def _plan(
    path: Path, catalogue: Catalogue, overrides: Sequence[str]
) -> tuple[Plan | None, Path, str, tuple[Diagnostic, ...]]:
    if path.suffix == ".json":
        if overrides:
            message = "a plan is executed as it is: --set changes a spec"
            return None, path.parent, "", (Diagnostic("RLC0017", message, help=(Help("run the spec instead"),)),)
        try:
            return read_saved_plan(path, catalogue), path.resolve().parent, "", ()
        except SpecError as fault:
            return None, path.parent, "", fault.diagnostics
    compiled = compile_spec(path, catalogue, overrides=overrides)
    if compiled.plan is None or compiled.root is None:
        return None, path.parent, "", compiled.diagnostics
    return compiled.plan, compiled.root, path.read_text(encoding="utf-8"), compiled.diagnostics


def read_saved_plan(path: Path, catalogue: Catalogue) -> Plan:
    """Return the plan of a file.  Raises: SpecError RLC0020 if it cannot be read as one."""
    try:
        if path.stat().st_size > _LARGEST_PLAN:
            raise SpecError(Diagnostic("RLC0020", f"{path} is too large to be a plan"))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SpecError(Diagnostic("RLC0020", f"{path} cannot be read: {fault}")) from fault
    return read_plan(text, name=str(path), params_of=catalogue.params_of)


def _cannot_execute(plan: Plan, catalogue: Catalogue) -> list[Diagnostic]:
    target = catalogue.load_target(plan.experiment.cluster.target)
    executor = plan.experiment.run.executor
    if executor in target.executors:
        return []
    ways = tuple(Help(f'set run.executor = "{e}"') for e in target.executors)
    message = f"target {target.name} cannot execute this plan today: it has no executor {executor}"
    return [Diagnostic("RLC0503", message, help=ways, paths=("run.executor",))]


def _changed(plan: Plan, catalogue: Catalogue, run_dir: Path) -> list[Diagnostic]:
    """Compare with the plan that the run directory was started with, if there is one."""
    saved = run_dir / "plan.json"
    if run_dir.exists() and not run_dir.is_dir():
        return [Diagnostic("RLC0018", f"{run_dir} is not a directory", help=(Help("name another --run-dir"),))]
    if not saved.exists():
        return []
    try:
        before = read_saved_plan(saved, catalogue)
    except SpecError as fault:
        return list(fault.diagnostics)
    return list(check_resume(before, plan, where=str(run_dir)))


def _save(job: Job) -> None:
    """Write the plan, the spec and the root into the run directory.  Raises: SpecError RLC0018 if that is refused."""
    root = os.path.relpath(job.root, job.run_dir)
    try:
        job.run_dir.mkdir(parents=True, exist_ok=True)
        _replace(job.run_dir / "plan.json", job.plan.to_text())
        if job.spec_text:
            _replace(job.run_dir / "spec.toml", job.spec_text)
        _replace(job.run_dir / "origin.json", json.dumps({"root": root}) + "\n")
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise SpecError(Diagnostic("RLC0018", f"{job.run_dir} cannot be written: {why}")) from fault


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
