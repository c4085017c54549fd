"""Fields whose value names a function, `file.py:function`: what they lead to, and what is told of those that do not."""

from __future__ import annotations

import posixpath

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span
from compiler.frontend.value import RECIPE, Leaf
from compiler.ir.openness import Off
from compiler.ir.provenance import Origin
from compiler.ir.rollout import CustomCode
from compiler.ir.subject import toml_literal
from compiler.lowering.code_reference import Callee, Code, CodeRoots, Fault, Parameter
from compiler.lowering.reader import Reader


class FoundFunction(NamedTuple):
    """The function that a field names."""

    code: CustomCode
    parameter: Parameter


class FunctionReferences:
    """Follows the references of one experiment.

    Args:
        roots: the folders that custom code stands below.
    """

    def __init__(self, reader: Reader, roots: CodeRoots) -> None:
        self._reader = reader
        self._roots = roots

    def code_of(self, path: str, reference: str, callee: Callee) -> FoundFunction | None:
        """Return the function that the field at a path names, or None after RLC0209 has been reported."""
        from compiler.lowering.custom_code import find_function, parameter_of

        roots = self._roots
        code = find_function(reference, roots, folder=self._folder_of(path))
        if isinstance(code, Fault):
            self.report(path, "RLC0209", code)
            return None
        name = posixpath.normpath(posixpath.join(roots.own.name, code.path))
        found = parameter_of(Code(roots.own.path / code.path, name), reference, callee)
        if not isinstance(found, Parameter):
            self.report(path, "RLC0209", found)
            return None
        return FoundFunction(code, found)

    def record(self, path: str, code_path: str, code: CustomCode | Off, defined: Span | None) -> None:
        """Say that the code at `code_path` follows from the field at `path`."""
        origins = self._reader.origins
        origins.record(code_path, Origin("derived", by="lower", inputs=(path,)))
        if isinstance(code, CustomCode):
            for name in CustomCode.fields():
                origins.record(f"{code_path}.{name}", Origin("derived", span=defined, by="lower", inputs=(path,)))

    def report(self, path: str, code: str, fault: Fault, said: str = "named here") -> None:
        """Report that the field at a path leads nowhere."""
        reader = self._reader
        origin = reader.origins.get(path)
        named = (Label(origin.span, said, fault.place is None),) if origin and origin.span else ()
        labels = (*named, fault.place) if fault.place else named
        helps = tuple(Help(text) for text in fault.help)
        if origin and origin.span:
            shown = reader.shown(path, origin.span)
            sets = tuple(((shown, toml_literal(name)),) if len(fault.meant) == 1 else () for name in fault.meant)
            helps += tuple(Help(f'did you mean "{n}"?', way) for n, way in zip(fault.meant, sets, strict=True))
        reader.report(path, Diagnostic(code, fault.message, labels, helps))

    def _folder_of(self, path: str) -> str:
        """The folder of the file that says a field, relative to the root."""
        origin = self._reader.origins.get(path)
        if origin is None or origin.span is None:
            return "."
        found = self._reader.resolve_path(Leaf(".", origin.span, RECIPE))
        return found if isinstance(found, str) else "."
