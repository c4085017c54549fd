"""`data.train.function`: rows of a function of the experiment's own, found in its file and never imported.

Rewards by reference are found alike (bind_reward.py); here a function is given nothing and yields rows.
"""

from __future__ import annotations

import posixpath

from compiler.diagnostics.annotations import TypeVar
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import Span
from compiler.frontend.value import RECIPE, Leaf
from compiler.ir.data import TextSource
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Origin
from compiler.ir.rollout import CustomCode
from compiler.ir.subject import toml_literal
from compiler.lowering.code_reference import Code, CodeRoots, Fault
from compiler.lowering.reader import Reader

S = TypeVar("S", bound="TextSource[Auto]")


def bind_data(experiment: Experiment[Auto], reader: Reader, roots: CodeRoots) -> Experiment[Auto]:
    """Return the experiment with the code of every source filled, or RLC0209 reported.

    Args:
        roots: the folders that custom code stands below.
    """
    binder = _Binder(reader, roots)
    stages = (binder.stage(stage, f"stages.{index}") for index, stage in enumerate(experiment.stages))
    return experiment.replacing(stages=tuple(stages))


class _Binder:
    def __init__(self, reader: Reader, roots: CodeRoots) -> None:
        self._reader = reader
        self._roots = roots

    def stage(self, stage: Stage[Auto], path: str) -> Stage[Auto]:
        data = stage.data
        train = tuple(self._source(one, f"{path}.data.train.{i}") for i, one in enumerate(data.train))
        stage = stage.replacing(data=data.replacing(train=train))
        if isinstance(stage.eval, Off):
            return stage
        sets = tuple(self._source(one, f"{path}.eval.sets.{i}") for i, one in enumerate(stage.eval.sets))
        return stage.replacing(eval=stage.eval.replacing(sets=sets))

    def _source(self, source: S, path: str) -> S:
        if isinstance(source.function, Off) or f"{path}.function" in self._reader.broken:
            return self._filled(source, path, OFF, None)
        from compiler.lowering.custom_code import find_function, source_of

        reference = source.function
        code = find_function(reference, self._roots, folder=self._folder_of(f"{path}.function"))
        if isinstance(code, Fault):
            return self._reported(source, path, code)
        name = posixpath.normpath(posixpath.join(self._roots.own.name, code.path))
        defined = source_of(Code(self._roots.own.path / code.path, name), reference)
        if isinstance(defined, Fault):
            return self._reported(source, path, defined)
        return self._filled(source, path, code, defined)

    def _filled(self, source: S, path: str, code: CustomCode | Off, defined: Span | None) -> S:
        origins, inputs = self._reader.origins, (f"{path}.function",)
        origins.record(f"{path}.code", Origin("derived", by="lower", inputs=inputs))
        for name in CustomCode.fields() if isinstance(code, CustomCode) else ():
            origins.record(f"{path}.code.{name}", Origin("derived", span=defined, by="lower", inputs=inputs))
        return source.replacing(code=code)

    def _reported(self, source: S, path: str, fault: Fault) -> S:
        reader, field = self._reader, f"{path}.function"
        origin = reader.origins.get(field)
        named = (Label(origin.span, "named here", fault.place is None),) if origin and origin.span else ()
        helps = tuple(Help(text) for text in fault.help)
        if origin and origin.span:
            shown = reader.shown(field, origin.span)
            sets = tuple(((shown, toml_literal(name)),) if len(fault.meant) == 1 else () for name in fault.meant)
            helps += tuple(Help(f'did you mean "{n}"?', way) for n, way in zip(fault.meant, sets, strict=True))
        reader.broken.add(f"{path}.code")
        labels = (*named, fault.place) if fault.place else named
        reader.report(field, Diagnostic("RLC0209", fault.message, labels, helps))
        return source.replacing(code=OFF)

    def _folder_of(self, path: str) -> str:
        """The folder of the file that says a field, relative to the root."""
        origin = self._reader.origins.get(path)
        if origin is None or origin.span is None:
            return "."
        found = self._reader.resolve_path(Leaf(".", origin.span, RECIPE))
        return found if isinstance(found, str) else "."
