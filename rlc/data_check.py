"""`rlc check --data`: the files that a plan names, read as a run would, with places in the spec.

The compiler never opens data; this verb asks the runtime, which does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from compiler.compile import Compiled
from compiler.diagnostics.diagnostic import Diagnostic, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.data import TextSource
from compiler.ir.evaluated import held_out_lists
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject
from rlc.running import check_installed

if TYPE_CHECKING:
    from runtime.data.audit import Audit

_AUDIT = "runtime.data.audit"
# What the runtime calls the files of all stages; they are named one by one.
_TABLE = "data.train"


class DataReport(NamedTuple):
    """What is wrong with the data of a plan, and a line about each data set."""

    diagnostics: tuple[Diagnostic, ...]
    lines: tuple[str, ...]


def check_data(compiled: Compiled) -> DataReport:
    """Read the data of a plan; nothing of a spec that has none."""
    plan, subject, root = compiled.plan, compiled.subject, compiled.root
    if plan is None or subject is None or root is None:
        return DataReport((), ())
    try:
        check_installed(plan.experiment.cluster.target, _AUDIT)
    except SpecError as fault:
        return DataReport(fault.diagnostics, ())
    found: Audit = import_module(_AUDIT).audit(plan.experiment, root=root)
    named = _files_by_name(subject)
    return DataReport(tuple(_placed(d, subject, named) for d in found.diagnostics), found.lines)


def _files_by_name(subject: Subject) -> dict[str, str]:
    """The paths of the fields that name data, by what they hold."""
    found: dict[str, str] = {}
    for at, stage in enumerate(subject.experiment.stages):
        sources: list[tuple[str, TextSource[Auto]]] = [
            (f"data.train.{i}", one) for i, one in enumerate(stage.data.train)
        ]
        for table, sets in held_out_lists(stage.eval):
            sources += [(f"eval.{table}.{i}", measured) for i, measured in enumerate(sets)]
        for path, source in sources:
            field = next(
                (name for name in ("path", "hub", "function") if isinstance(source.__dict__[name], str)), "path"
            )
            found.setdefault(source.called, f"stages.{at}.{path}.{field}")
    return found


def _placed(diagnostic: Diagnostic, subject: Subject, named: dict[str, str]) -> Diagnostic:
    """A diagnostic with what the spec says of the file and of the fields that it is about."""
    files = [path for name, path in named.items() if _names(diagnostic, name)]
    labels = list(diagnostic.labels)
    fields = [path for path in diagnostic.paths if not path.endswith(_TABLE)]
    for path in (*files, *fields):
        origin = subject.origins.get(path)
        if origin is not None and origin.span is not None and all(label.span != origin.span for label in labels):
            text = "named here" if path in files else _last(path)
            labels.append(Label(origin.span, text, is_primary=not labels))
    return diagnostic._replace(labels=tuple(labels))


def _names(diagnostic: Diagnostic, file: str) -> bool:
    words = f" {diagnostic.message} ".replace(", ", " ")
    is_said = any(f" {file}{end}" in words for end in (" ", ":", "/"))
    return is_said or any(label.span.file.name.partition(": row ")[0] == file for label in diagnostic.labels)


def _last(path: str) -> str:
    return path.rpartition(".")[2]
