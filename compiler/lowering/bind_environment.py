"""`environment.name` and the tools below it: files of the standard library, or functions of one's own."""

from __future__ import annotations

from compiler.diagnostics.nearest import nearest_names
from compiler.ir.catalogue import Catalogue
from compiler.ir.environment import Environment, Tool
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Origin
from compiler.lowering.code_reference import ENVIRONMENT, TOOL, CodeRoots, Fault
from compiler.lowering.function_references import FunctionReferences
from compiler.lowering.reader import Reader


def bind_environment(
    experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, roots: CodeRoots
) -> Experiment[Auto]:
    """Return the experiment with the code of environments and tools filled, or RLC0206/RLC0209 reported."""
    binder = _Binder(reader, catalogue, FunctionReferences(reader, roots))
    stages = []
    for index, stage in enumerate(experiment.stages):
        environment = stage.environment
        if not isinstance(environment, Off):
            stage = stage.replacing(environment=binder.bound(environment, f"stages.{index}.environment"))
        stages.append(stage)
    return experiment.replacing(stages=tuple(stages))


class _Binder:
    def __init__(self, reader: Reader, catalogue: Catalogue, references: FunctionReferences) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._references = references

    def bound(self, one: Environment[Auto], at: str) -> Environment[Auto]:
        one = one.replacing(tools=tuple(self._tool(tool, f"{at}.tools.{i}") for i, tool in enumerate(one.tools)))
        if isinstance(one.parser, str) and f"{at}.parser" not in self._reader.broken:
            self._known(f"{at}.parser", one.parser, self._catalogue.tool_parsers, "parser of calls", own=False)
        path = f"{at}.name"
        if path in self._reader.broken:
            return self._left(one, at)
        if ":" not in one.name:
            if not self._known(path, one.name, self._catalogue.environments, "environment"):
                return self._left(one, at)
            self._references.record(path, f"{at}.code", OFF, None)
            return self._filled(one.replacing(code=OFF), at, drives=False)
        found = self._references.code_of(path, one.name, ENVIRONMENT)
        if found is None:
            return self._left(one, at)
        self._references.record(path, f"{at}.code", found.code, found.parameter.function)
        return self._filled(one.replacing(code=found.code), at, drives=found.parameter.name == "policy")

    def _filled(self, one: Environment[Auto], at: str, *, drives: bool) -> Environment[Auto]:
        self._reader.origins.record(f"{at}.drives", Origin("derived", by="lower", inputs=(f"{at}.name",)))
        return one.replacing(drives=drives)

    def _left(self, one: Environment[Auto], at: str) -> Environment[Auto]:
        self._reader.broken.update((f"{at}.code", f"{at}.drives"))
        return one

    def _tool(self, tool: Tool[Auto], at: str) -> Tool[Auto]:
        path, code_path = f"{at}.name", f"{at}.code"
        if path in self._reader.broken:
            self._reader.broken.add(code_path)
            return tool
        if ":" not in tool.name:
            if not self._known(path, tool.name, self._catalogue.tools, "tool"):
                self._reader.broken.add(code_path)
                return tool
            self._references.record(path, code_path, OFF, None)
            return tool.replacing(code=OFF)
        found = self._references.code_of(path, tool.name, TOOL)
        if found is None:
            self._reader.broken.add(code_path)
            return tool
        self._references.record(path, code_path, found.code, found.parameter.function)
        return tool.replacing(code=found.code)

    def _known(self, path: str, name: str, names: tuple[str, ...], what: str, *, own: bool = True) -> bool:
        """Whether a name is one of those that there are; RLC0206 is reported where it is not."""
        if name in names:
            return True
        near = nearest_names(name, names)
        listed = f"there are: {', '.join(names)}" + ("; your own is written as file.py:function" if own else "")
        shown = ".".join(part for part in path.split(".")[2:] if not part.isdigit())
        fault = Fault(f"{shown} names no {what}", () if near else (listed,), meant=tuple(near))
        self._references.report(path, "RLC0206", fault, f"no {what} has this name")
        return False
