"""`reward.name`: a reward of the standard library, or a function of the experiment's own."""

from __future__ import annotations

import posixpath

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import Span
from compiler.frontend.value import RECIPE, Leaf
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Origin
from compiler.ir.rollout import CustomCode
from compiler.ir.subject import toml_literal
from compiler.lowering.code_reference import Code, Fault, Parameter
from compiler.lowering.reader import Reader

_LEVELS = ("sample", "group", "batch")


def bind_reward(experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, root: Code) -> Experiment[Auto]:
    """Return the experiment with level and code of every reward filled, or RLC0206/RLC0209 reported.

    Args:
        root: the folder that custom code stands below.
    """
    stages = tuple(
        _bind(stage, f"stages.{index}", reader, catalogue, root) for index, stage in enumerate(experiment.stages)
    )
    bound = (_bind_sets(stage, f"stages.{i}", reader, catalogue, root) for i, stage in enumerate(stages))
    return experiment.replacing(stages=tuple(bound))


def _bind_sets(stage: Stage[Auto], path: str, reader: Reader, catalogue: Catalogue, root: Code) -> Stage[Auto]:
    """Do the same for held-out sets with a reward of their own."""
    if isinstance(stage.eval, Off):
        return stage
    sets = []
    for at, measured in enumerate(stage.eval.sets):
        judged = _bind(stage.replacing(reward=measured.reward), f"{path}.eval.sets.{at}", reader, catalogue, root)
        sets.append(measured.replacing(reward=judged.reward))
    return stage.replacing(eval=stage.eval.replacing(sets=tuple(sets)))


def standard_level(path: Path) -> str:
    """Return what a reward of the standard library is given.

    Those are written as CONTRIBUTING says, so the text is enough: loading a parser takes longer than all of lowering.
    """
    for line in path.read_text(encoding="utf-8").split("\n"):
        before, _, parameters = line.partition("def reward(")
        first = parameters.replace(":", ",").replace(")", ",").partition(",")[0]
        if before in ("", "async ") and first in _LEVELS:
            return first
    raise InternalError(f"{path.name} has no function reward(sample), reward(group) or reward(batch)")


def _bind(stage: Stage[Auto], path: str, reader: Reader, catalogue: Catalogue, root: Code) -> Stage[Auto]:
    reward = stage.reward
    if isinstance(reward, Off):
        return stage
    if f"{path}.reward.name" in reader.broken:
        reader.broken.update((f"{path}.reward.level", f"{path}.reward.code"))
        return stage
    code: CustomCode | Off = OFF
    defined: Span | None = None
    if ":" in reward.name:
        from compiler.lowering.custom_code import find_function, parameter_of

        found = find_function(reward.name, root.path, folder=_folder_of(f"{path}.reward.name", reader))
        if isinstance(found, CustomCode):
            code = found
            name = posixpath.normpath(posixpath.join(root.name, code.path))
            found = parameter_of(Code(root.path / code.path, name), reward.name)
        if isinstance(found, Parameter):
            defined = found.function
        level = found.name if isinstance(found, Parameter) else found
    elif reward.name in catalogue.rewards:
        level = standard_level(catalogue.stdlib / "rewards" / f"{reward.name}.py")
    else:
        near = nearest_names(reward.name, catalogue.rewards)
        known = f"there are: {', '.join(catalogue.rewards)}; your own is written as file.py:function"
        fault = Fault("reward.name names no reward", () if near else (known,), meant=tuple(near))
        _report(reader, path, "RLC0206", fault, "no reward has this name")
        return stage
    if isinstance(level, Fault):
        _report(reader, path, "RLC0209", level)
        return stage
    for name in ("level", "code"):
        reader.origins.record(f"{path}.reward.{name}", Origin("derived", by="lower", inputs=(f"{path}.reward.name",)))
    if isinstance(code, CustomCode):
        for name in CustomCode.fields():
            origin = Origin("derived", span=defined, by="lower", inputs=(f"{path}.reward.name",))
            reader.origins.record(f"{path}.reward.code.{name}", origin)
    return stage.replacing(reward=reward.replacing(level=level, code=code))


def _report(reader: Reader, path: str, code: str, fault: Fault, said: str = "named here") -> None:
    origin = reader.origins.get(f"{path}.reward.name")
    named = (Label(origin.span, said, fault.place is None),) if origin and origin.span else ()
    labels = (*named, fault.place) if fault.place else named
    helps = tuple(Help(text) for text in fault.help)
    if origin and origin.span:
        shown = reader.shown(f"{path}.reward.name", origin.span)
        sets = tuple(((shown, toml_literal(name)),) if len(fault.meant) == 1 else () for name in fault.meant)
        helps += tuple(Help(f'did you mean "{n}"?', way) for n, way in zip(fault.meant, sets, strict=True))
    reader.broken.update((f"{path}.reward.level", f"{path}.reward.code"))
    reader.report(f"{path}.reward.name", Diagnostic(code, fault.message, labels, helps))


def _folder_of(path: str, reader: Reader) -> str:
    """The folder of the file that says a field, relative to the root."""
    origin = reader.origins.get(path)
    if origin is None or origin.span is None:
        return "."
    found = reader.resolve_path(Leaf(".", origin.span, RECIPE))
    return found if isinstance(found, str) else "."
