"""`import rlc`: compile a spec, and run it, from Python.

The same functions as behind the command line, with the same checks.  What is wrong is raised as one exception, which
holds every diagnostic and prints as the command line prints them; warnings are Python's.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.text import render
from compiler.ir.plan import Plan
from compiler.ir.subject import toml_literal
from rlc.catalogue import scan
from rlc.running import Place, execute, exit_code, prepare, prepare_plan

Value: TypeAlias = "str | int | float | bool | Sequence[Value]"
AnyPath: TypeAlias = "str | PathLike[str]"


class RlcError(Exception):
    """What is wrong with an experiment, or broke its run.

    `diagnostics` are all of them, warnings included; `exit_code` is what the command line would end with: 1 for errors
    in the experiment, 4 for a run that failed.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], *, exit_code: int = 1) -> None:
        super().__init__(_text(diagnostics))
        self.diagnostics = tuple(diagnostics)
        self.exit_code = exit_code


class Finished(NamedTuple):
    """A run that ended: its plan, its directory, and whether it was interrupted (then a checkpoint is saved)."""

    plan: Plan
    run_dir: Path
    was_interrupted: bool


def compile(
    path: AnyPath,
    *,
    set: Mapping[str, Value] | None = None,
    policy: AnyPath | Sequence[AnyPath] = (),
    target: str | None = None,
) -> Plan:
    """Return the plan of a spec.

    Args:
        path: a .toml or .star file; of a .star file with several experiments `FILE:NAME`.
        set: fields that are stronger than any file, such as `{"optim.lr": 1e-5, "rollout.max_response_tokens": "8Ki"}`.
        policy: .star files of what the plan must satisfy, beside those of its root.
        target: the kind of machine: short for `set={"cluster.target": ...}`.

    Raises: RlcError with every error that was found.
    """
    compiled = compile_spec(Path(path), scan(_paths(policy)), overrides=_overrides(set, target))
    if compiled.plan is None:
        raise RlcError(compiled.diagnostics)
    _warn(compiled.diagnostics)
    return compiled.plan


def run(
    experiment: Plan | AnyPath,
    *,
    set: Mapping[str, Value] | None = None,
    policy: AnyPath | Sequence[AnyPath] = (),
    target: str | None = None,
    run_dir: AnyPath | None = None,
    root: AnyPath | None = None,
) -> Finished:
    """Execute a spec or a plan, or go on with the run in its directory.

    Args:
        experiment: a spec, a plan that was saved (.json), or one that `compile` returned.
        set: as for `compile`; of a spec only, like `policy` and `target`.
        run_dir: where the run is kept, `runs/NAME` if it is left out.
        root: the folder that the paths of a plan are relative to; the working directory for one of `compile`.

    Raises: RlcError with every error that was found, or with that which broke the run.
    """
    folder = None if run_dir is None else Path(run_dir)
    overrides, policies = _overrides(set, target), _paths(policy)
    if isinstance(experiment, Plan):
        if overrides or policies:
            raise TypeError("set, policy and target are for compile: a plan is executed as it is")
        prepared = prepare_plan(experiment, root=Path(root or "."), run_dir=folder)
    else:
        if root is not None and Path(experiment).suffix != ".json":
            raise TypeError("root is of a plan: that of a spec follows from where it is")
        place = Place(None if root is None else Path(root), folder)
        prepared = prepare(Path(experiment), overrides=overrides, place=place, policies=policies)
    if prepared.job is None:
        raise RlcError(prepared.diagnostics)
    _warn(prepared.diagnostics)
    try:
        code = execute(prepared.job, color=False, ascii_only=False)
    except SpecError as fault:
        raise RlcError(fault.diagnostics, exit_code=exit_code(fault)) from fault
    return Finished(prepared.job.plan, prepared.job.run_dir, was_interrupted=code != 0)


def _overrides(given: Mapping[str, Value] | None, target: str | None) -> tuple[str, ...]:
    values = dict(given or {})
    if target is not None:
        values["cluster.target"] = target
    return tuple(f"{path}={toml_literal(value)}" for path, value in values.items())


def _paths(given: AnyPath | Sequence[AnyPath]) -> tuple[Path, ...]:
    return (Path(given),) if isinstance(given, (str, PathLike)) else tuple(Path(path) for path in given)


def _warn(found: Sequence[Diagnostic]) -> None:
    if found:
        warnings.warn(_text(found), stacklevel=3)


def _text(found: Sequence[Diagnostic]) -> str:
    return "\n".join(render(diagnostic, color=False, ascii_only=False) for diagnostic in found)
