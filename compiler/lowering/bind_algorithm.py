"""`algo.advantages`, `loss.mismatch.function` and `loss.reducer`: functions of one's own for parts of an algorithm."""

from __future__ import annotations

from compiler.diagnostics.annotations import TypeVar
from compiler.ir.algorithm import AlgorithmParams, PolicyAlgo
from compiler.ir.experiment import Experiment
from compiler.ir.loss import PolicyLoss
from compiler.ir.openness import OFF, Auto
from compiler.ir.record import Record
from compiler.lowering.code_reference import ADVANTAGES, CORRECTION, REDUCER, Callee, CodeRoots, Fault
from compiler.lowering.function_references import FunctionReferences
from compiler.lowering.reader import Reader

N = TypeVar("N", bound="Record")


def bind_algorithm(experiment: Experiment[Auto], reader: Reader, roots: CodeRoots) -> Experiment[Auto]:
    """Return the experiment with the code of its algorithms filled, or RLC0206/RLC0209 reported."""
    binder = _Binder(reader, FunctionReferences(reader, roots))
    stages = tuple(
        stage.replacing(algorithm=_bound(stage.algorithm, binder, f"stages.{index}"))
        for index, stage in enumerate(experiment.stages)
    )
    return experiment.replacing(stages=stages)


def _bound(algorithm: AlgorithmParams[Auto], binder: _Binder, at: str) -> AlgorithmParams[Auto]:
    if isinstance(algorithm.algo, PolicyAlgo):
        algorithm = algorithm.replacing(algo=binder.bound(algorithm.algo, f"{at}.algo", "advantages", ADVANTAGES))
    loss = algorithm.loss
    if isinstance(loss, PolicyLoss):
        mismatch = binder.bound(loss.mismatch, f"{at}.loss.mismatch", "function", CORRECTION)
        loss = binder.bound(loss.replacing(mismatch=mismatch), f"{at}.loss", "reducer", REDUCER)
        algorithm = algorithm.replacing(loss=loss)
    return algorithm


class _Binder:
    def __init__(self, reader: Reader, references: FunctionReferences) -> None:
        self._reader = reader
        self._references = references

    def bound(self, one: N, table: str, field: str, callee: Callee) -> N:
        path, code_path = f"{table}.{field}", f"{table}.code"
        name = one.__dict__[field]
        if path in self._reader.broken:
            self._reader.broken.add(code_path)
        elif not isinstance(name, str):
            self._references.record(path, code_path, OFF, None)
            return one.replacing(code=OFF)
        elif ":" in name:
            found = self._references.code_of(path, name, callee)
            if found is not None:
                self._references.record(path, code_path, found.code, found.parameter.function)
                return one.replacing(code=found.code)
            self._reader.broken.add(code_path)
        else:
            self._reader.broken.add(code_path)
            shown = ".".join(path.split(".")[2:])
            fault = Fault(f"{shown} names no function", ("write file.py:function",))
            self._references.report(path, "RLC0206", fault, "no file and function")
        return one
