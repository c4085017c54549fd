"""What `rlc plan` does once its command line has been read, by Typer (`plan.py`) or without it (`plan_line.py`)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.diagnostics.diagnostic import Diagnostic
    from compiler.frontend.session import Session
    from compiler.ir.sourced_plan import SourcedPlan

DIFFERS = 3


class PlanRequest(NamedTuple):
    """What a command line asks of `rlc plan`.

    At most one of as_json, saved_as, golden, other, timeline, engines and explain_choice is given, and beside what_if
    none but as_json.
    """

    spec: Path
    sets: tuple[str, ...] = ()
    as_json: bool = False
    saved_as: Path | None = None
    golden: Path | None = None
    other: str | None = None
    shrink: bool = False
    policies: tuple[Path, ...] = ()
    timeline: Path | None = None
    engines: bool = False
    what_if: tuple[str, ...] = ()
    explain_choice: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the plan is only shown."""
        others = (self.saved_as, self.golden, self.other, self.timeline)
        is_whole = not self.as_json and not self.engines and not self.explain_choice
        return is_whole and all(one is None for one in others)


def make_plan(request: PlanRequest, output: Output) -> int:
    """Do what is asked and return the exit code.  Raises: SpecError."""
    if request.what_if:
        return _compare(request, output)
    session = None
    if request.spec.suffix == ".star" and (request.as_json or request.is_plain):
        from compiler.compile import compile_all, experiments_of
        from compiler.frontend.session import Session
        from rlc.catalogue import scan

        catalogue = scan(request.policies)
        session = Session(catalogue.stdlib, catalogue.cache)
        if len(experiments_of(request.spec, session)) > 1:
            from rlc.cli.experiment_list import list_experiments, print_plans

            found = compile_all(request.spec, catalogue, overrides=request.sets, shrink=request.shrink, session=session)
            return print_plans(found, output) if request.as_json else list_experiments(request.spec, found, output)
    found = resolved(
        request.spec, request.sets, output, shrink=request.shrink, session=session, policies=request.policies
    )
    if request.as_json:
        output.result(found.plan.to_text())
        return 0
    if request.engines:
        from compiler.emit.engine_lines import engine_lines

        output.result(engine_lines(found.plan))
        return 0
    if request.saved_as is not None:
        return _save(found, request, request.saved_as, output)
    if request.golden is not None:
        return _check(found, request.golden, output)
    if request.other is not None:
        output.result(_difference(_other_plan(request.other, request), found, output))
        return 0
    if request.timeline is not None:
        return _draw(found, request.timeline, output)
    if request.explain_choice:
        return _explain_choice(found, output)
    return _print_page(found, output)


def _explain_choice(found: SourcedPlan, output: Output) -> int:
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from compiler.emit.choice_table import choice_table

    if found.subject is None:
        way = Help("name the spec that it was made of")
        raise SpecError(Diagnostic("RLC0414", "a saved plan does not say what was left to the planner", help=(way,)))
    output.result(choice_table(found.subject, ascii_only=output.result_ascii_only))
    return 0


def _compare(request: PlanRequest, output: Output) -> int:
    """Show the plan as it is beside the one with other values; where only that one is a plan, say so."""
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.what_if import compare, to_json, without_replaced

    def plan_with(sets: Sequence[str], shown: Output | None) -> SourcedPlan:
        return resolved(request.spec, sets, shown, shrink=request.shrink, policies=request.policies)

    new = plan_with((*without_replaced(request.sets, request.what_if), *request.what_if), None)
    try:
        old = plan_with(request.sets, output)
    except SpecError as fault:
        output.diagnostics(fault.diagnostics)
        output.error(f"\nas it is there is no plan; with {', '.join(request.what_if)} there is: {new.plan.hash[:12]}\n")
        return 1
    found = compare(old, new, request.what_if)
    if request.as_json:
        from compiler.ir.canonical import dump

        output.result(dump(to_json(found)))
        return 0
    from rlc.cli.what_if_text import what_if_text

    output.result(what_if_text(found, ascii_only=output.result_ascii_only))
    return 0


def _draw(found: SourcedPlan, path: Path, output: Output) -> int:
    """Write the picture of a plan's time and memory.  Raises: SpecError RLC0412 if there is nothing to draw."""
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from compiler.emit.timeline import timeline_html, timeline_svg
    from compiler.ir.openness import Off
    from rlc.catalogue import scan

    draw = {".svg": timeline_svg, ".html": timeline_html}.get(path.suffix)
    if draw is None:
        way = Help(f"name {path.with_suffix('.svg')} or {path.with_suffix('.html')}")
        raise SpecError(Diagnostic("RLC0412", f"{path} is neither a picture nor a page", help=(way,)))
    if all(isinstance(stage.time, Off) for stage in found.plan.forecast.stages):
        way = Help("name a plan on GPUs that samples")
        message = f"{found.name} has no forecast of time to draw"
        raise SpecError(Diagnostic("RLC0412", message, help=(way,)))
    gpu = scan().load_hardware().get(str(found.plan.experiment.cluster.gpu))
    _write(path, draw(found.plan, gpu))
    output.result(f"{path}: time and memory of plan {found.plan.hash[:12]} of {found.name}")
    return 0


def _print_page(found: SourcedPlan, output: Output) -> int:
    from compiler.emit.plan_page import plan_page
    from rlc.catalogue import load_hardware

    output.result(
        plan_page(
            found.plan,
            found.subject,
            load_hardware(),
            source=found.name,
            ascii_only=output.result_ascii_only,
            color=output.result_color,
        )
    )
    if found.shrunk is not None:
        from compiler.emit.shrunk_list import shrunk_list

        output.result("")
        output.result(shrunk_list(found.shrunk, ascii_only=output.result_ascii_only))
    return 0


def _save(found: SourcedPlan, request: PlanRequest, path: Path, output: Output) -> int:
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from compiler.frontend.choice import choose

    spec = choose(request.spec).path
    if os.path.exists(path) and path.samefile(spec):
        way = Help(f"name another file, such as {spec.stem}.json")
        raise SpecError(Diagnostic("RLC0022", f"the plan would take the place of {spec}", help=(way,)))
    _write(path, found.plan.to_text())
    output.result(f"{path}: plan {found.plan.hash[:12]} of {found.name}")
    return 0


def _check(found: SourcedPlan, golden: Path, output: Output) -> int:
    saved = _saved_plan(golden)
    if saved.plan == found.plan:
        output.result(f"{golden} is the plan of {found.name}: {found.plan.hash[:12]}")
        return 0
    output.result(_difference(saved, found, output))
    return 0 if saved.plan.hash == found.plan.hash else DIFFERS


def resolved(
    path: Path,
    sets: Sequence[str],
    output: Output | None,
    *,
    shrink: bool = False,
    session: Session | None = None,
    policies: Sequence[Path] = (),
) -> SourcedPlan:
    """Return the plan of a spec, or a saved one; warnings go to the output.  Raises: SpecError."""
    from compiler.compile import compile_spec
    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
    from compiler.frontend.choice import choose
    from compiler.ir.sourced_plan import SourcedPlan
    from rlc.catalogue import scan

    if path.suffix == ".json" and choose(path).name is None:
        if sets or shrink or policies:
            of_a_spec = "--set changes" if sets else "--shrink changes" if shrink else "--policy checks"
            message = f"a saved plan is shown as it is: {of_a_spec} a spec"
            raise SpecError(Diagnostic("RLC0017", message, help=(Help("name the spec instead"),)))
        return _saved_plan(path)
    compiled = compile_spec(path, scan(policies), overrides=sets, shrink=shrink, session=session)
    if compiled.plan is None:
        raise SpecError(*compiled.diagnostics)
    if output is not None:
        output.diagnostics(compiled.diagnostics)
    return SourcedPlan(compiled.plan, compiled.subject, str(path), shrunk=compiled.shrunk)


def _saved_plan(path: Path) -> SourcedPlan:
    from compiler.ir.sourced_plan import SourcedPlan
    from rlc.catalogue import scan
    from rlc.running import read_saved_plan

    return SourcedPlan(read_saved_plan(path, scan()), None, str(path))


def _write(path: Path, text: str) -> None:
    """Give a file this content, all or nothing.  Raises: SpecError RLC0022."""
    import os

    from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as fault:
        way = Help("name a file in a folder that exists and may be written")
        message = f"the plan cannot be written to {path}: {fault.strerror}"
        raise SpecError(Diagnostic("RLC0022", message, help=(way,))) from fault


def _difference(old: SourcedPlan, new: SourcedPlan, output: Output) -> str:
    from compiler.emit.plan_diff import plan_diff

    return plan_diff(old, new, ascii_only=output.result_ascii_only, color=output.result_color)


def _other_plan(other: str, request: PlanRequest) -> SourcedPlan:
    """Return what a plan is compared with: another spec or a saved plan as it is, or the same spec at a revision."""
    from compiler.diagnostics.diagnostic import SpecError
    from compiler.frontend.choice import choose
    from rlc.revision import unpacked

    if other.endswith((".toml", ".star", ".json")) or choose(Path(other)).name is not None:
        return resolved(Path(other), (), None)
    spec, name = choose(request.spec)
    with unpacked(spec, other) as revision:
        one = revision.spec if name is None else revision.spec.with_name(f"{revision.spec.name}:{name}")
        try:
            found = resolved(one, (), None, shrink=request.shrink)
        except SpecError as fault:
            shown = [_renamed(d, f"{revision.folder}/", f"{other}:") for d in fault.diagnostics]
            raise SpecError(*shown) from fault
        return found._replace(name=revision.name, folder=str(revision.folder), folder_name=f"{other}:")


def _renamed(diagnostic: Diagnostic, folder: str, name: str) -> Diagnostic:
    """Return a diagnostic about an unpacked revision in the names that the user knows."""
    from compiler.diagnostics.span import SourceFile

    files = {label.span.file for label in diagnostic.labels}
    renamed = {file: SourceFile(file.name.replace(folder, name), file.text) for file in files}
    labels = (label._replace(span=label.span._replace(file=renamed[label.span.file])) for label in diagnostic.labels)
    helps = (way._replace(text=way.text.replace(folder, name)) for way in diagnostic.help)
    message = diagnostic.message.replace(folder, name)
    return diagnostic._replace(message=message, labels=tuple(labels), help=tuple(helps))
