"""`reward.name`: a reward of the standard library, or a function of the experiment's own.

Custom code is never imported here.  Its syntax tree says whether the function exists and what its first parameter is
called, which decides what one call is given: `sample`, `group` or `batch`.  A file is relative to the one that names
it, like every path; a module stands below the experiment's root.
"""

from __future__ import annotations

import ast
import hashlib
import posixpath
import re
import warnings
from pathlib import Path
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import RECIPE, Leaf
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Origin
from compiler.ir.rollout import CustomCode
from compiler.lowering.reader import Reader

_LEVELS = ("sample", "group", "batch")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LARGEST = 1 << 20


class Fault(NamedTuple):
    """Why a reference leads nowhere, and ways out."""

    message: str
    help: tuple[str, ...] = ()
    place: Label | None = None


class Code(NamedTuple):
    """A Python file, and what messages call it."""

    path: Path
    name: str


def bind_reward(experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, root: Code) -> Experiment[Auto]:
    """Return the experiment with reward.level and reward.code of every stage filled, or RLC0206/RLC0209 reported.

    Args:
        root: the folder that custom code stands below.
    """
    stages = tuple(
        _bind(stage, f"stages.{index}", reader, catalogue, root) for index, stage in enumerate(experiment.stages)
    )
    return experiment.replacing(stages=stages)


def _bind(stage: Stage[Auto], path: str, reader: Reader, catalogue: Catalogue, root: Code) -> Stage[Auto]:
    reward = stage.reward
    if isinstance(reward, Off):
        return stage
    if f"{path}.reward.name" in reader.broken:
        reader.broken.update((f"{path}.reward.level", f"{path}.reward.code"))
        return stage
    code: CustomCode | Off = OFF
    if ":" in reward.name:
        found = _custom(reward.name, root.path, folder=_folder_of(f"{path}.reward.name", reader))
        if isinstance(found, CustomCode):
            code = found
            name = posixpath.normpath(posixpath.join(root.name, code.path))
            level = _level(Code(root.path / code.path, name), code.function)
        else:
            level = found
    elif reward.name in catalogue.rewards:
        level = _level(Code(catalogue.stdlib / "rewards" / f"{reward.name}.py", f"{reward.name}.py"), "reward")
    else:
        near = nearest_names(reward.name, catalogue.rewards)
        helps = tuple(f'did you mean "{n}"?' for n in near) or (
            f"there are: {', '.join(catalogue.rewards)}; your own is written as file.py:function",
        )
        _report(reader, path, "RLC0206", Fault("reward.name names no reward", helps))
        return stage
    if isinstance(level, Fault):
        _report(reader, path, "RLC0209", level)
        return stage
    for name in ("level", "code"):
        reader.origins.record(f"{path}.reward.{name}", Origin("derived", by="lower", inputs=(f"{path}.reward.name",)))
    if isinstance(code, CustomCode):
        for name in CustomCode.fields():
            origin = Origin("derived", by="lower", inputs=(f"{path}.reward.name",))
            reader.origins.record(f"{path}.reward.code.{name}", origin)
    return stage.replacing(reward=reward.replacing(level=level, code=code))


def _report(reader: Reader, path: str, code: str, fault: Fault) -> None:
    origin = reader.origins.get(f"{path}.reward.name")
    named = (Label(origin.span, "named here", fault.place is None),) if origin and origin.span else ()
    labels = (*named, fault.place) if fault.place else named
    helps = tuple(Help(text) for text in fault.help)
    reader.broken.update((f"{path}.reward.level", f"{path}.reward.code"))
    reader.report(f"{path}.reward.name", Diagnostic(code, fault.message, labels, helps))


def _folder_of(path: str, reader: Reader) -> str:
    """The folder of the file that says a field, relative to the root."""
    origin = reader.origins.get(path)
    if origin is None or origin.span is None:
        return "."
    found = reader.resolve_path(Leaf(".", origin.span, RECIPE))
    return found if isinstance(found, str) else "."


def _custom(reference: str, root: Path, *, folder: str) -> CustomCode | Fault:
    where, _, function = reference.rpartition(":")
    if not function.isidentifier():
        return Fault(f"{function!r} is not the name of a function", ("write file.py:function",))
    if where.endswith(".py"):
        relative = Path(posixpath.normpath(posixpath.join(folder, where)))
    elif _MODULE.fullmatch(where):
        relative = Path(*where.split(".")).with_suffix(".py")
    else:
        return Fault(f"{where!r} is neither a .py file nor a module", ("write file.py:function or module:function",))
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        return Fault(f"{where} leaves the experiment's root", ("move the file below the root",))
    try:
        if path.stat().st_size > _LARGEST:
            return Fault(f"{where} is larger than 1 MiB")
        content = path.read_bytes()
    except FileNotFoundError:
        near = nearest_names(path.name, _neighbours(path))
        return Fault(f"there is no file {relative.as_posix()}", tuple(f"did you mean {n}?" for n in near))
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        return Fault(f"{relative.as_posix()} cannot be read: {why.lower()}")
    return CustomCode(path=relative.as_posix(), function=function, sha256=hashlib.sha256(content).hexdigest())


def _neighbours(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix == ".py"]
    except OSError:
        return []


def _level(code: Code, function: str) -> str | Fault:
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
        helps = tuple(f"did you mean {code.path.name}:{n}?" for n in near)
        return Fault(f"{code.name} has no function {function}", helps)
    given = found.args
    positional = [*given.posonlyargs, *given.args]
    required = len(positional) - len(given.defaults) + sum(d is None for d in given.kw_defaults)
    if not positional or required > 1:
        place = _place(code, text, found.lineno, 0, f"takes {required}")
        helps = tuple(f"def {function}({level}): ..." for level in _LEVELS)
        return Fault(f"{function} takes {required} arguments, and a reward is given one", helps, place)
    first = positional[0]
    if first.arg not in _LEVELS:
        column = len(text.split("\n")[first.lineno - 1].encode()[: first.col_offset].decode())
        return Fault(
            f"the first parameter of {function} is called {first.arg}",
            ("call it sample, group or batch: the name says what one call is given",),
            _place(code, text, first.lineno, column, "does not say what it is given"),
        )
    return first.arg


def _place(code: Code, text: str, line: int, column: int, said: str) -> Label:
    """A label from a column to the end of its word; both may be those of a parser that looked too far."""
    lines = text.split("\n")
    row = min(line, len(lines)) - 1
    column = min(max(column, 0), len(lines[row]))
    start = sum(len(before) + 1 for before in lines[:row]) + column
    word = re.compile(r"\w*").match(text, start)
    end = max(word.end() if word else start, min(start + 1, len(text)))
    return Label(Span(SourceFile(code.name, text), start, end), said, True)
