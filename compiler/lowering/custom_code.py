"""A function of the experiment's own, found in its file and never imported.

The syntax tree says whether the function exists and, of a reward, what its first parameter is called, which decides
what one call is given: `sample`, `group` or `batch`; a source of rows is given nothing.  A file is relative to the one
that names it, like every path; a module stands below the root of the file that names it.  `@lab//judges:math.py:score`
and `@lab//judges.math:score` are a file and a module of the further root `lab`.
"""

from __future__ import annotations

import ast
import hashlib
import os
import posixpath
import re
import warnings
from pathlib import Path

from compiler.diagnostics.diagnostic import Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.roots import is_further, owner_of
from compiler.ir.rollout import CustomCode
from compiler.lowering.code_reference import Code, CodeRoots, Fault, Parameter

_LEVELS = ("sample", "group", "batch")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LARGEST = 1 << 20


def find_function(reference: str, roots: CodeRoots, *, folder: str) -> CustomCode | Fault:
    """Return the function that `file.py:function` or `module:function` names, with or without `@ROOT//` before it.

    Args:
        folder: that of the file which names it, relative to the experiment's root.
    """
    where, _, function = reference.rpartition(":")
    if not function.isidentifier():
        return Fault(f"{function!r} is not the name of a function", ("write file.py:function",))
    owner = owner_of((roots.own.path / folder).resolve(), roots.further)
    inside = where
    if is_further(where):
        name, _, inside = where[1:].partition("//")
        owner = next((root for root in roots.further if root.name == name), None)
        if owner is None:
            near = nearest_names(name, [root.name for root in roots.further])
            return Fault(f"there is no root @{name}", tuple(f'did you mean "@{n}//{inside}:{function}"?' for n in near))
        folder, _, inside = inside.rpartition(":")
        folder = posixpath.join(owner.path, folder)
    root, way = (roots.own.path, ".") if owner is None else (owner.folder, owner.path)
    if inside.endswith(".py"):
        relative = Path(posixpath.normpath(posixpath.join(folder, inside)))
    elif _MODULE.fullmatch(inside):
        relative = Path(posixpath.normpath(posixpath.join(way, *inside.split(".")))).with_suffix(".py")
    else:
        return Fault(f"{where!r} is neither a .py file nor a module", ("write file.py:function or module:function",))
    if "\0" in where:
        return Fault(f"{where!r} is no path: no file has U+0000 in its name", ("write file.py:function",))
    path = Path(os.path.realpath(roots.own.path / relative))
    if not path.is_relative_to(os.path.realpath(root)):
        whose = "the experiment's root" if owner is None else f"the root @{owner.name}"
        return Fault(f"{where} leaves {whose}", ("move the file below the root",))
    try:
        if path.stat().st_size > _LARGEST:
            return Fault(f"{where} is larger than 1 MiB")
        content = path.read_bytes()
    except FileNotFoundError:
        near = nearest_names(path.name, _neighbours(path))
        beside = posixpath.dirname(where) if where.endswith(".py") else relative.parent.as_posix()
        meant = tuple(f"{posixpath.normpath(posixpath.join(beside, n))}:{function}" for n in near)
        return Fault(f"there is no file {relative.as_posix()}", meant=meant)
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        return Fault(f"{relative.as_posix()} cannot be read: {why.lower()}")
    return CustomCode(path=relative.as_posix(), function=function, sha256=hashlib.sha256(content).hexdigest())


def _neighbours(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix == ".py"]
    except OSError:
        return []


class Definition(NamedTuple):
    """A function in the text of its file."""

    code: Code
    text: str
    function: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def is_async(self) -> bool:
        """Whether it is written with `async def`."""
        return isinstance(self.function, ast.AsyncFunctionDef)

    @property
    def num_required(self) -> int:
        """How many arguments have to be given."""
        given = self.function.args
        positional = [*given.posonlyargs, *given.args]
        return len(positional) - len(given.defaults) + sum(d is None for d in given.kw_defaults)

    def name_place(self, said: str) -> Label:
        """A label at its name."""
        column = len("async def " if self.is_async else "def ")
        return _place(self.code, self.text, self.function.lineno, column, said)

    @property
    def span(self) -> Span:
        """Where it is defined."""
        return _place(self.code, self.text, self.function.lineno, self.function.col_offset, "").span


def definition_of(code: Code, reference: str) -> Definition | Fault:
    """Return the function of a reference, as its file defines it."""
    where, _, function = reference.rpartition(":")
    try:
        text = code.path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        return Fault(f"{code.name} is not Python that can be read: {fault}")
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text, filename=code.path.name)
    except SyntaxError as fault:
        place = _place(code, text, fault.lineno or 1, (fault.offset or 1) - 1, str(fault.msg).lower())
        return Fault(f"{code.name} is not Python that can be read", place=place)
    except (ValueError, RecursionError, MemoryError) as fault:
        return Fault(f"{code.name} is not Python that can be read: {fault}")
    functions = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    found = functions.get(function)
    if found is None:
        near = nearest_names(function, functions)
        return Fault(f"{code.name} has no function {function}", meant=tuple(f"{where}:{n}" for n in near))
    return Definition(code, text, found)


def parameter_of(code: Code, reference: str) -> Parameter | Fault:
    """Return the first parameter of the function of a reference, which is called `sample`, `group` or `batch`."""
    found = definition_of(code, reference)
    if isinstance(found, Fault):
        return found
    function, given = found.function.name, found.function.args
    positional = [*given.posonlyargs, *given.args]
    required = found.num_required
    if not positional or required > 1:
        place = found.name_place(f"takes {required}" if positional else "takes none by its place")
        helps = tuple(f"def {function}({level}): ..." for level in _LEVELS)
        taken = f"{required} arguments" if positional else "no argument by its place"
        return Fault(f"{function} takes {taken}, and a reward is given one", helps, place)
    first = positional[0]
    if first.arg not in _LEVELS:
        column = len(found.text.split("\n")[first.lineno - 1].encode()[: first.col_offset].decode())
        return Fault(
            f"the first parameter of {function} is called {first.arg}",
            ("call it sample, group or batch: the name says what one call is given",),
            _place(code, found.text, first.lineno, column, "does not say what it is given"),
        )
    return Parameter(first.arg, found.span)


def source_of(code: Code, reference: str) -> Span | Fault:
    """Return where the function of a reference is defined, which yields rows and is given nothing."""
    found = definition_of(code, reference)
    if isinstance(found, Fault):
        return found
    name = found.function.name
    if found.num_required:
        place = found.name_place(f"takes {found.num_required}")
        helps = (f"def {name}(): ...",)
        return Fault(f"{name} takes arguments, and a source of rows is given none", helps, place)
    return found.span


def _place(code: Code, text: str, line: int, column: int, said: str) -> Label:
    """A label from a column to the end of its word; both may be those of a parser that looked too far."""
    lines = text.split("\n")
    row = min(line, len(lines)) - 1
    column = min(max(column, 0), len(lines[row]))
    start = sum(len(before) + 1 for before in lines[:row]) + column
    word = re.compile(r"\w*").match(text, start)
    end = max(word.end() if word else start, min(start + 1, len(text)))
    return Label(Span(SourceFile(code.name, text), start, end), said, True)
