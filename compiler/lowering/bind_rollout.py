"""`rollout.filter.name` and `rollout.buffer.selector`: files of the standard library, or functions of one's own."""

from __future__ import annotations

from compiler.diagnostics.annotations import TypeVar
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.record import Record
from compiler.ir.rollout import Rollout
from compiler.lowering.code_reference import FILTER, SELECTOR, Callee, CodeRoots, Fault
from compiler.lowering.function_references import FunctionReferences
from compiler.lowering.reader import Reader

N = TypeVar("N", bound="Record")


def bind_rollout(
    experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, roots: CodeRoots
) -> Experiment[Auto]:
    """Return the experiment with the code of filters and selectors filled, or RLC0206/RLC0209 reported."""
    binder = _Binder(reader, FunctionReferences(reader, roots))
    stages = []
    for index, stage in enumerate(experiment.stages):
        rollout, at = stage.rollout, f"stages.{index}.rollout"
        if isinstance(rollout, Rollout):
            if not isinstance(rollout.filter, Off):
                known = _Known("filter", catalogue.filters, FILTER)
                rollout = rollout.replacing(filter=binder.bound(rollout.filter, f"{at}.filter", "name", known))
            if not isinstance(rollout.buffer, Off):
                known = _Known("selector", catalogue.selectors, SELECTOR)
                rollout = rollout.replacing(buffer=binder.bound(rollout.buffer, f"{at}.buffer", "selector", known))
            stage = stage.replacing(rollout=rollout)
        stages.append(stage)
    return experiment.replacing(stages=tuple(stages))


class _Known:
    """What a name may stand for."""

    def __init__(self, what: str, names: tuple[str, ...], callee: Callee) -> None:
        self.what = what
        self.names = names
        self.callee = callee


class _Binder:
    def __init__(self, reader: Reader, references: FunctionReferences) -> None:
        self._reader = reader
        self._references = references

    def bound(self, one: N, table: str, field: str, known: _Known) -> N:
        path, code_path = f"{table}.{field}", f"{table}.code"
        name = str(one.__dict__[field])
        if path in self._reader.broken:
            self._reader.broken.add(code_path)
        elif ":" in name:
            found = self._references.code_of(path, name, known.callee)
            if found is not None:
                self._references.record(path, code_path, found.code, found.parameter.function)
                return one.replacing(code=found.code)
            self._reader.broken.add(code_path)
        elif name in known.names:
            self._references.record(path, code_path, OFF, None)
            return one.replacing(code=OFF)
        else:
            self._reader.broken.add(code_path)
            near = nearest_names(name, known.names)
            listed = f"there are: {', '.join(known.names)}; your own is written as file.py:function"
            shown = ".".join(path.split(".")[2:])
            fault = Fault(f"{shown} names no {known.what}", () if near else (listed,), meant=tuple(near))
            self._references.report(path, "RLC0206", fault, f"no {known.what} has this name")
        return one
