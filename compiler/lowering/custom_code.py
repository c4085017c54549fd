"""A function of the experiment's own, found in its file and never imported.

The syntax tree says whether the function exists and what its parameters are called; for a reward that decides what one
call is given: `sample`, `group` or `batch`.  A file is relative to the one that names it, like every path; a module
stands below the root of the file that names it.  `@lab//judges:math.py:score` and `@lab//judges.math:score` are a file
and a module of the further root `lab`.
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
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.roots import is_further, owner_of
from compiler.ir.rollout import CustomCode
from compiler.lowering.code_reference import REWARD, Callee, Code, CodeRoots, Fault, Parameter

_NUMBERS = ("none", "one", "two")
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


def parameter_of(code: Code, reference: str, callee: Callee = REWARD) -> Parameter | Fault:
    """Return the first parameter of the function of a reference, which takes what one of the signatures says.

    It has no name where the function is given nothing.
    """
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
    fault = _signature_fault(found, code, text, callee) if callee.signatures else None
    if fault is not None:
        return fault
    first = next((one.arg for one in (*found.args.posonlyargs, *found.args.args)), "")
    return Parameter(first, _place(code, text, found.lineno, found.col_offset, "").span)


def _signature_fault(
    found: ast.FunctionDef | ast.AsyncFunctionDef, code: Code, text: str, callee: Callee
) -> Fault | None:
    """Return what is wrong with the parameters of a function, or None."""
    given = found.args
    positional = [*given.posonlyargs, *given.args]
    required = len(positional) - len(given.defaults) + sum(d is None for d in given.kw_defaults)
    count = len(callee.signatures[0])
    if len(positional) < count or required > count:
        column = len("async def " if isinstance(found, ast.AsyncFunctionDef) else "def ")
        place = _place(
            code, text, found.lineno, column, f"takes {required}" if positional else "takes none by its place"
        )
        helps = tuple(f"def {found.name}({', '.join(names)}): ..." for names in callee.signatures)
        taken = f"{required} argument{'s' * (required != 1)}" if positional else "no argument by its place"
        return Fault(f"{found.name} takes {taken}, and {callee.who} is given {_NUMBERS[count]}", helps, place)
    for at, given_name in enumerate(positional[:count]):
        known = [names[at] for names in callee.signatures]
        if given_name.arg not in known:
            column = len(text.split("\n")[given_name.lineno - 1].encode()[: given_name.col_offset].decode())
            which = ("first", "second")[at]
            called = " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
            return Fault(
                f"the {which} parameter of {found.name} is called {given_name.arg}",
                (f"call it {called}: the name says what one call is given",),
                _place(code, text, given_name.lineno, column, "does not say what it is given"),
            )
    return None


def _place(code: Code, text: str, line: int, column: int, said: str) -> Label:
    """A label from a column to the end of its word; both may be those of a parser that looked too far."""
    lines = text.split("\n")
    row = min(line, len(lines)) - 1
    column = min(max(column, 0), len(lines[row]))
    start = sum(len(before) + 1 for before in lines[:row]) + column
    word = re.compile(r"\w*").match(text, start)
    end = max(word.end() if word else start, min(start + 1, len(text)))
    return Label(Span(SourceFile(code.name, text), start, end), said, True)
