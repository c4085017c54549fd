"""`function` of `data.train` and of held-out sets: rows that a function of one's own gives; it is given nothing."""

from __future__ import annotations

from compiler.diagnostics.annotations import TypeVar
from compiler.ir.data import TextSource
from compiler.ir.evaluated import held_out_lists
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.lowering.code_reference import SOURCE, CodeRoots
from compiler.lowering.function_references import FunctionReferences
from compiler.lowering.reader import Reader

S = TypeVar("S", bound="TextSource[Auto]")


def bind_data(experiment: Experiment[Auto], reader: Reader, roots: CodeRoots) -> Experiment[Auto]:
    """Return the experiment with the code of every source filled, or RLC0209 reported."""
    binder = _Binder(reader, FunctionReferences(reader, roots))
    stages = (binder.stage(stage, f"stages.{index}") for index, stage in enumerate(experiment.stages))
    return experiment.replacing(stages=tuple(stages))


class _Binder:
    def __init__(self, reader: Reader, references: FunctionReferences) -> None:
        self._reader = reader
        self._references = references

    def stage(self, stage: Stage[Auto], path: str) -> Stage[Auto]:
        data = stage.data
        train = tuple(self._source(one, f"{path}.data.train.{i}") for i, one in enumerate(data.train))
        stage = stage.replacing(data=data.replacing(train=train))
        measured = stage.eval
        if isinstance(measured, Off):
            return stage
        bound = {
            name: tuple(self._source(one, f"{path}.eval.{name}.{i}") for i, one in enumerate(sets))
            for name, sets in held_out_lists(measured)
            if name in type(measured).fields()
        }
        return stage.replacing(eval=measured.replacing(**bound))

    def _source(self, source: S, table: str) -> S:
        path, code_path = f"{table}.function", f"{table}.code"
        if isinstance(source.function, Off) or path in self._reader.broken:
            self._references.record(path, code_path, OFF, None)
            return source.replacing(code=OFF)
        found = self._references.code_of(path, source.function, SOURCE)
        if found is None:
            self._reader.broken.add(code_path)
            return source.replacing(code=OFF)
        self._references.record(path, code_path, found.code, found.parameter.function)
        return source.replacing(code=found.code)
