"""A function of the experiment's own that decides what a step does: a filter, a selector, a part of the algorithm.

It is called between two steps of the engine or of the trainer: what it decides has to be known before more happens,
and must not depend on a clock.  So a filter or a selector that takes too long ends the run, and nothing is decided in
its place.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.ir.rollout import CustomCode
from runtime.custom_code import load_file
from runtime.rewards.border import ForeignCode, RewardCallError
from runtime.rewards.functions import RewardSource, line_label
from runtime.slow_call import ToldWhileSlow, Warn
from runtime.time_limit import LateError, within


class Duty(NamedTuple):
    """What is asked of a function: the code of the fault where it fails, and what it has to return."""

    code: str
    way: str


CHOICE = Duty("RLC0664", "a filter returns True or False, a selector a list of distinct places")


class CustomFunction:
    """A function that has been loaded.

    Args:
        field: the field that names it.
        duty: what is asked of it.
        warn: is told of a call that takes long, where it has no time limit.

    Raises: SpecError RLC0610 if it cannot be loaded, RLC0611 if the file is not the one that was compiled.
    """

    def __init__(self, code: CustomCode, *, root: Path, field: str, duty: Duty, warn: Warn | None = None) -> None:
        path = str(root / code.path)
        self._field = field
        self._duty = duty
        self._warn = warn
        self._source = RewardSource(
            name=f"{code.path}:{code.function}", file=path, shown=code.path, function=code.function, sha256=code.sha256
        )
        try:
            module = load_file(Path(path), shown=code.path, sha256=code.sha256, field=field)
        except RewardCallError as fault:
            message = f"{code.path} cannot be loaded: {fault.message}"
            way = Help("mend the file, and compile again")
            labels = line_label(self._source, fault.line, "raised here")
            raise SpecError(Diagnostic("RLC0610", message, labels, (way,), paths=(field,))) from fault
        self._call: Any = module.__dict__[code.function]
        made = getattr(self._call, "__code__", None)
        self._line = made.co_firstlineno if made is not None and made.co_filename == path else None

    @property
    def function(self) -> Any:
        """The function itself, for whoever calls it in a way of their own."""
        return self._call

    def __call__(self, *arguments: object, at: str = "") -> Any:
        """Call it; `at` says when, if it raises.  Raises: SpecError with the code of its duty if it raises."""
        name, file, warn = self._source.name, self._source.file, self._warn
        try:
            with ToldWhileSlow(name, file, warn) if warn else nullcontext(), ForeignCode(file):
                return self._call(*arguments)
        except RewardCallError as fault:
            label, when = line_label(self._source, fault.line, "raised here"), f", {at}" if at else ""
            raise SpecError(self.fault(f"raised {fault.message}{when}", label)) from fault

    def within(self, timeout_s: float, *arguments: object) -> Any:
        """Call it under a time limit.  Raises: as a call; SpecError RLC0648 if it takes longer."""
        try:
            return within(lambda: self(*arguments), timeout_s=timeout_s)
        except LateError as error:
            field = f"{self._field.rpartition('.')[0]}.timeout_s"
            message = f"{self._source.name} took longer than {field} = {timeout_s:g} s"
            ways = (Help(f"make it quicker and compile again, or raise {field}"),)
            labels = line_label(self._source, self._line, "defined here")
            raise SpecError(Diagnostic("RLC0648", message, labels, ways, paths=(field,))) from error

    def fault(self, what: str, labels: tuple[Label, ...] = ()) -> Diagnostic:
        """Return the fault of what it did, at the place where it is defined unless there is a nearer one."""
        labels = labels or line_label(self._source, self._line, "defined here")
        way = Help(f"{self._duty.way}; mend it and compile again")
        return Diagnostic(self._duty.code, f"{self._source.name} {what}", labels, (way,), paths=(self._field,))
