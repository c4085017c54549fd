"""`reward.name`: a reward of the standard library, or a function of the experiment's own.

Custom code is never imported here.  Its syntax tree says whether the function exists and what its first parameter is
called, which decides what one call is given: `sample`, `group` or `batch`.
"""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
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


def bind_reward(experiment: Experiment[Auto], reader: Reader, catalogue: Catalogue, root: Path) -> Experiment[Auto]:
    """Return the experiment with reward.level and reward.code of every stage filled, or RLC0206/RLC0209 reported."""
    stages = tuple(
        _bind(stage, f"stages.{index}", reader, catalogue, root) for index, stage in enumerate(experiment.stages)
    )
    return experiment.replacing(stages=stages)


def _bind(stage: Stage[Auto], path: str, reader: Reader, catalogue: Catalogue, root: Path) -> Stage[Auto]:
    reward = stage.reward
    if isinstance(reward, Off) or f"{path}.reward.name" in reader.broken:
        return stage
    code: CustomCode | Off = OFF
    if ":" in reward.name:
        found = _custom(reward.name, root)
        if isinstance(found, CustomCode):
            code = found
            level = _level(root / code.path, code.function)
        else:
            level = found
    elif reward.name in catalogue.rewards:
        level = _level(catalogue.stdlib / "rewards" / f"{reward.name}.py", "reward")
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
    labels = (Label(origin.span, "named here", True),) if origin and origin.span else ()
    helps = tuple(Help(text) for text in fault.help)
    reader.report(f"{path}.reward.name", Diagnostic(code, fault.message, labels, helps))


def _custom(reference: str, root: Path) -> CustomCode | Fault:
    where, _, function = reference.rpartition(":")
    if not function.isidentifier():
        return Fault(f"{function!r} is not the name of a function", ("write file.py:function",))
    if where.endswith(".py"):
        relative = Path(where)
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
    except OSError as fault:
        near = nearest_names(path.name, _neighbours(path))
        return Fault(f"{where} cannot be read: {fault.strerror or fault}", tuple(f"did you mean {n}?" for n in near))
    return CustomCode(path=relative.as_posix(), function=function, sha256=hashlib.sha256(content).hexdigest())


def _neighbours(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix == ".py"]
    except OSError:
        return []


def _level(path: Path, function: str) -> str | Fault:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=path.name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        return Fault(f"{path.name} is not Python that can be read: {fault}")
    functions = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    found = functions.get(function)
    if found is None:
        near = nearest_names(function, functions)
        helps = tuple(f"did you mean {path.name}:{n}?" for n in near)
        return Fault(f"{path.name} has no function {function}", helps)
    given = found.args
    positional = [*given.posonlyargs, *given.args]
    required = len(positional) - len(given.defaults) + sum(d is None for d in given.kw_defaults)
    if not positional or required > 1:
        return Fault(
            f"{function} takes {required} arguments, and a reward is given one",
            tuple(f"def {function}({level}): ..." for level in _LEVELS),
        )
    if positional[0].arg not in _LEVELS:
        return Fault(
            f"the first parameter of {function} is called {positional[0].arg}",
            ("call it sample, group or batch: the name says what one call is given",),
        )
    return positional[0].arg
