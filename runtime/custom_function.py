"""A function of the experiment's own that chooses among groups: a filter or a selector.

It is called in place, between two steps of the engine: what it decides has to be known before more is sampled, and
must not depend on a clock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.ir.rollout import CustomCode
from runtime.custom_code import load_file
from runtime.rewards.border import ForeignCode, RewardCallError
from runtime.rewards.functions import RewardSource, line_label


class CustomFunction:
    """A function that has been loaded.

    Args:
        field: the field that names it.

    Raises: SpecError RLC0610 if it cannot be loaded, RLC0611 if the file is not the one that was compiled.
    """

    def __init__(self, code: CustomCode, *, root: Path, field: str) -> None:
        path = str(root / code.path)
        self._field = field
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

    def __call__(self, *arguments: object) -> Any:
        """Call it.  Raises: SpecError RLC0664 if it raises."""
        try:
            with ForeignCode(self._source.file):
                return self._call(*arguments)
        except RewardCallError as fault:
            label = line_label(self._source, fault.line, "raised here")
            raise SpecError(self.fault(f"raised {fault.message}", label)) from fault

    def fault(self, what: str, labels: tuple[Label, ...] = ()) -> Diagnostic:
        """Return RLC0664 with what it did."""
        way = Help("a filter returns True or False, a selector a list of distinct places; mend it and compile again")
        return Diagnostic("RLC0664", f"{self._source.name} {what}", labels, (way,), paths=(self._field,))
