"""Names that an experiment gives: they become folders, keys of metrics and parts of `--set` paths.

So `../other` would leave the folder of runs, and two evaluations of one name would overwrite each other's results.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import Span
from compiler.ir.evaluated import held_out_lists
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Auto
from compiler.ir.subject import toml_literal
from compiler.lowering.reader import Reader


def check_names(experiment: Experiment[Auto], reader: Reader) -> None:
    """Report names that no file can have (RLC0204), and sets of one evaluation with the same name (RLC0211)."""
    reported: set[Span] = set()
    for path, name in _given(experiment):
        origin = reader.origins.get(path)
        if path in reader.broken or origin is None or origin.span is None or origin.span in reported:
            continue
        if not _is_usable(name):
            reported.add(origin.span)
            reader.report(path, _unusable(name, origin.span, reader.shown(path, origin.span)))
    for index, stage in enumerate(experiment.stages):
        names: dict[str, Span] = {}
        for below, name in _measured(stage):
            path = f"stages.{index}.{below}"
            origin = reader.origins.get(path)
            if origin is None or origin.span is None or path in reader.broken:
                continue
            first = names.setdefault(name, origin.span)
            if first != origin.span and origin.span not in reported:
                reported.add(origin.span)
                labels = (Label(first, "the first"), Label(origin.span, "the same name again", True))
                helps = (Help(f'give it a name of its own, such as "{name}_{len(names) + 1}"'),)
                reader.report(path, Diagnostic("RLC0211", f"two evaluations are called {name}", labels, helps))


def _given(experiment: Experiment[Auto]) -> Iterator[tuple[str, str]]:
    yield "name", experiment.name
    for index, stage in enumerate(experiment.stages):
        yield f"stages.{index}.name", stage.name
        for below, name in _measured(stage):
            yield f"stages.{index}.{below}", name


def _measured(stage: Stage[Auto]) -> Iterator[tuple[str, str]]:
    """The fields that name what a stage is measured on, and the names."""
    for table, sets in held_out_lists(stage.eval):
        for i, measured in enumerate(sets):
            yield f"eval.{table}.{i}.name", measured.name


def _is_usable(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _unusable(name: str, span: Span, shown: str) -> Diagnostic:
    label = Label(span, "becomes the name of files and metrics", True)
    parts = name.replace("\0", "/").split("/")
    better = "_".join(part for part in parts if part).lstrip("._")
    advice = Help("a name is not empty, and holds no /")
    if better:
        literal = toml_literal(better)
        advice = Help(f"set {shown} = {literal}", ((shown, literal),))
    return Diagnostic("RLC0204", f"{shown} = {toml_literal(name)} is no usable name", (label,), (advice,))
