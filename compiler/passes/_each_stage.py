"""The frame of passes that look at one stage at a time."""

from __future__ import annotations

from collections.abc import Callable

from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Auto
from compiler.ir.paths import read, replaced
from compiler.ir.provenance import OriginKind, Provenance


class StageEditor:
    """A stage under resolution: sets fields and records why."""

    def __init__(self, stage: Stage[Auto], index: int, origins: Provenance, *, by: str) -> None:
        self.stage = stage
        self.index = index
        self._origins = origins
        self._by = by

    def has(self, field: str) -> bool:
        """Whether this stage has the field at all."""
        try:
            read(self.stage, field)
        except KeyError:
            return False
        return True

    def is_open(self, field: str) -> bool:
        """Whether the stage has the field and nobody has decided it."""
        return self.has(field) and isinstance(read(self.stage, field), Auto)

    def derive(
        self, field: str, value: object, *, inputs: tuple[str, ...] = (), kind: OriginKind = "derived", by: str = ""
    ) -> None:
        """Set an open field.  Inputs that start with `/` are paths from the experiment's root."""
        self.stage = replaced(self.stage, field, value)
        full = tuple(i[1:] if i.startswith("/") else f"stages.{self.index}.{i}" for i in inputs)
        self._origins.derived(f"stages.{self.index}.{field}", by=by or self._by, inputs=full, kind=kind)


def each_stage(
    experiment: Experiment[Auto], origins: Provenance, edit: Callable[[StageEditor], None], *, by: str
) -> Experiment[Auto]:
    """Return the experiment with `edit` applied to every stage."""
    stages = []
    for index, stage in enumerate(experiment.stages):
        editor = StageEditor(stage, index, origins, by=by)
        edit(editor)
        stages.append(editor.stage)
    return experiment.replacing(stages=tuple(stages))
