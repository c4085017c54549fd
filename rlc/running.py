"""From a spec or a plan to a running job: compile, check against what is there already, hand over to the runtime."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.choice import choose
from compiler.ir.catalogue import Catalogue
from compiler.ir.plan import Plan, read_plan
from compiler.rules.resume_keeps_the_experiment import check_resume
from rlc import environ
from rlc.catalogue import scan
from rlc.run_lock import not_writable, run_lock

ORIGIN = "origin.json"
_LARGEST_PLAN = 16 << 20
_LONGEST_NAME = 60

# The experiment and what it reads were in order, and the run broke all the same.
_RUN_BROKE = frozenset({"RLC0621", "RLC0624", "RLC0637", "RLC0641", "RLC0651", "RLC0762", "RLC0763", "RLC0764"})


class Place(NamedTuple):
    """What the command line says of folders: of a saved plan the root that its paths are relative to, and the run's."""

    root: Path | None = None
    run_dir: Path | None = None


class Changes(NamedTuple):
    """What the command line says about a spec: single fields, whether it is to be made small, and its policies."""

    overrides: tuple[str, ...] = ()
    shrink: bool = False
    policies: tuple[Path, ...] = ()


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


def prepare(
    path: Path,
    *,
    overrides: Sequence[str],
    place: Place,
    shrink: bool = False,
    policies: Sequence[Path] = (),
    continues: bool = True,
) -> Prepared:
    """Return what is to be executed, after every check that needs no torch.

    Args:
        continues: whether it goes on in the run directory, and so has to be the experiment that began there.
    """
    found = planned(path, Changes(tuple(overrides), shrink, tuple(policies)), place)
    if found.job is None:
        return found
    return _judged(found.job, found.diagnostics, scan(policies), continues=continues)


def planned(path: Path, changes: Changes, place: Place) -> Prepared:
    """Return the job of a spec or a plan, whatever this machine can execute."""
    catalogue = scan(changes.policies)
    try:
        is_plan = path.suffix == ".json" and choose(path).name is None
        return Prepared(
            *(_from_plan(path, catalogue, changes, place) if is_plan else _from_spec(path, catalogue, changes, place))
        )
    except SpecError as fault:
        return Prepared(None, fault.diagnostics)


def prepare_plan(plan: Plan, *, root: Path, run_dir: Path | None = None) -> Prepared:
    """Return what is to be executed of a plan that was compiled in this process, after the same checks.

    Args:
        root: the folder that its paths are relative to.
    """
    place = run_dir or Path("runs") / plan.experiment.name
    return _judged(Job(plan, root.resolve(), place, ""), (), scan())


def execute(job: Job, *, color: bool, ascii_only: bool) -> int:
    """Run a job and return its exit code: 0 finished, 130 interrupted with a checkpoint saved.

    Args:
        color: whether standard output may be coloured.
        ascii_only: whether it is to hold ASCII characters only.

    Raises: SpecError for what is wrong with the experiment or breaks the run; `exit_code` tells them apart.
    """
    variables = job.plan.experiment.cluster.environment
    environ.apply((variable.name, variable.value) for variable in variables)
    check_installed(job.plan.experiment.cluster.target)
    from runtime.driver import RunPlace, run_plan
    from runtime.telemetry.open_view import Look

    with run_lock(job.run_dir):
        # Again, now that nobody else can: another process may have begun this run since.
        forbidden = [d for d in _changed(job.plan, scan(), job.run_dir) if d.severity == "error"]
        if forbidden:
            raise SpecError(*forbidden)
        _save(job)
        look = Look(color=color, ascii_only=ascii_only)
        # Absolute: a reward that changes the working directory must not move the run.
        place = RunPlace(root=job.root, run_dir=job.run_dir.absolute(), stream=sys.stdout, look=look)
        return 0 if run_plan(job.plan, place) == "finished" else 130


def exit_code(fault: SpecError) -> int:
    """Return 4 for a run that broke although all it was given was in order, otherwise 1."""
    return 4 if fault.diagnostics[0].code in _RUN_BROKE else 1


def _judged(job: Job, warnings: tuple[Diagnostic, ...], catalogue: Catalogue, *, continues: bool = True) -> Prepared:
    """A job that this machine can execute, and that goes on with what its directory holds, if it goes on there."""
    changed = _changed(job.plan, catalogue, job.run_dir) if continues else []
    found = (*warnings, *_cannot_execute(job.plan, catalogue), *changed)
    return Prepared(None if any(d.severity == "error" for d in found) else job, found)


def check_installed(target: str, module: str = "runtime.driver") -> None:
    """Load a part of the runtime.  Raises: SpecError RLC0661 if what it needs is not installed."""
    try:
        import_module(module)
    except ModuleNotFoundError as fault:
        missing = fault.name or str(fault)
        if missing.partition(".")[0] in ("runtime", "stdlib", "compiler"):
            raise
        ways = (Help(f"install rlc with this extra, in its checkout: pip install '.[{target}]'"),)
        message = f"the runtime needs {missing}, which is not installed"
        raise SpecError(Diagnostic("RLC0661", message, help=ways)) from fault


def _from_spec(path: Path, catalogue: Catalogue, changes: Changes, place: Place) -> tuple[Job, tuple[Diagnostic, ...]]:
    compiled = compile_spec(path, catalogue, overrides=changes.overrides, shrink=changes.shrink)
    if compiled.plan is None or compiled.root is None:
        raise SpecError(*compiled.diagnostics)
    run_dir = place.run_dir or Path("runs") / compiled.plan.experiment.name
    text = choose(path).path.read_text(encoding="utf-8")
    return Job(compiled.plan, compiled.root, run_dir, text), compiled.diagnostics


def _from_plan(path: Path, catalogue: Catalogue, changes: Changes, place: Place) -> tuple[Job, tuple[Diagnostic, ...]]:
    if changes.overrides or changes.shrink or changes.policies:
        of_a_spec = "--shrink changes" if changes.shrink else "--policy checks"
        of_a_spec = "--set changes" if changes.overrides else of_a_spec
        message = f"a plan is executed as it is: {of_a_spec} a spec"
        raise SpecError(Diagnostic("RLC0017", message, help=(Help("run the spec instead"),)))
    plan = read_saved_plan(path, catalogue)
    folder = Path(os.path.realpath(path)).parent
    is_of_a_run = os.path.exists(folder / ORIGIN)
    root = place.root or (_origin(folder) if is_of_a_run else folder)
    paths = [source.path for stage in plan.experiment.stages for source in stage.data.train]
    absent = [path for path in paths if isinstance(path, str)]
    absent = [name for name in absent if not os.path.exists(root / name)]
    if absent and place.root is None:
        message = f"{path} names {absent[0]}, which is not below {os.path.relpath(root)}"
        way = Help("give --root DIR: the folder of the spec that the plan was made of")
        raise SpecError(Diagnostic("RLC0021", message, help=(way,)))
    # The plan of a run directory continues that run.
    run_dir = place.run_dir or (path.parent if is_of_a_run else Path("runs") / plan.experiment.name)
    return Job(plan, Path(os.path.realpath(root)), run_dir, ""), ()


def _origin(folder: Path) -> Path:
    """Return the root that a run directory was started with."""
    try:
        found = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return folder / str(found["root"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        way = Help("give --root DIR: the folder of the spec that the run was started with")
        message = f"{folder.name}/{ORIGIN} does not name the root of the run: {fault}"
        raise SpecError(Diagnostic("RLC0021", message, help=(way,))) from fault


def read_saved_plan(path: Path, catalogue: Catalogue) -> Plan:
    """Return the plan of a file.  Raises: SpecError RLC0020 if it cannot be read as one."""
    try:
        if path.stat().st_size > _LARGEST_PLAN:
            raise SpecError(Diagnostic("RLC0020", f"{path} is too large to be a plan"))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        ways = (Help("a plan is saved by: rlc plan SPEC -o FILE.json"),)
        raise SpecError(Diagnostic("RLC0020", f"{path} cannot be read: {why.lower()}", help=ways)) from fault
    return read_plan(text, name=str(path), params_of=catalogue.params_of)


def _cannot_execute(plan: Plan, catalogue: Catalogue) -> list[Diagnostic]:
    name = plan.experiment.cluster.target
    if name not in catalogue.targets:
        # Whoever wrote the plan chose the name: no file is looked for under it.
        ways = (Help("run the plan with the rlc that made it, or compile its spec for a target of this one"),)
        message = f"this rlc has no target {name[:_LONGEST_NAME]!r}: it has {', '.join(catalogue.targets)}"
        return [Diagnostic("RLC0503", message, help=ways, paths=("cluster.target",))]
    target = catalogue.load_target(name)
    executor = plan.experiment.run.executor
    if executor in target.executors:
        return []
    ways = tuple(Help(f'set run.executor = "{e}"') for e in target.executors)
    message = f"target {target.name} cannot execute this plan today: it has no executor {executor}"
    return [Diagnostic("RLC0503", message, help=ways, paths=("run.executor",))]


def _changed(plan: Plan, catalogue: Catalogue, run_dir: Path) -> list[Diagnostic]:
    """Compare with the plan that the run directory was started with, if there is one."""
    saved = run_dir / "plan.json"
    if os.path.exists(run_dir) and not os.path.isdir(run_dir):
        return [Diagnostic("RLC0018", f"{run_dir} is not a directory", help=(Help("name another --run-dir"),))]
    if not _has_begun(run_dir):
        return []
    if not os.path.exists(saved):
        ways = (Help("put plan.json back, or name another --run-dir"),)
        message = f"{run_dir} holds a run but no plan.json: nothing says which experiment it is of"
        return [Diagnostic("RLC0018", message, help=ways)]
    try:
        before = read_saved_plan(saved, catalogue)
    except SpecError as fault:
        return list(fault.diagnostics)
    return list(check_resume(before, plan, where=str(run_dir)))


def _has_begun(run_dir: Path) -> bool:
    """Whether a run has recorded anything there, rather than having failed at its data or weights."""
    metrics = run_dir / "metrics.jsonl"
    checkpoints = run_dir / "checkpoints"
    has_checkpoints = os.path.isdir(checkpoints) and any(checkpoints.glob("step_*"))
    return has_checkpoints or (os.path.exists(metrics) and os.path.getsize(metrics) > 0)


def _save(job: Job) -> None:
    """Write the plan, the spec and the root into the run directory.  Raises: SpecError RLC0018 if that is refused."""
    root = os.path.relpath(job.root, os.path.realpath(job.run_dir))
    try:
        # The plan comes last: with it, the directory is that of this experiment.
        if job.spec_text:
            replace_file(job.run_dir / "spec.toml", job.spec_text)
        replace_file(job.run_dir / ORIGIN, json.dumps({"root": root}) + "\n")
        replace_file(job.run_dir / "plan.json", job.plan.to_text())
    except OSError as fault:
        raise SpecError(not_writable(job.run_dir, fault)) from fault


def replace_file(path: Path, text: str) -> None:
    """Give a file this content, on the disk; a file that has it already is left alone."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
