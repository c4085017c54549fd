"""How far a run has come: all that a checkpoint records beside tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from stdlib.samples import JsonValue


@dataclass(kw_only=True, slots=True)
class Progress:
    """Counters of a run, advanced by the loop that owns them.

    `stage` is an index; `step` counts within the stage, `global_step` over all stages; `data_position` counts the rows
    drawn in the stage, `data_digest` names the files they are drawn from; `measured` is what was evaluated after this
    very step, if anything was; `metrics_offset` is the length of metrics.jsonl in bytes.

    `weights_version` counts the steps that changed what is trained, over all stages; sampled tokens carry it, so that a
    step that trains only a critic, or nothing, makes none of them older.  `wide_gap_steps` are the last steps in a row
    in which engine and trainer disagreed by more than [debug.logprob_gap] allows.

    Whether the stage is complete is not recorded: it follows from these and the plan, which may have been given more
    steps since.
    """

    plan_hash: str
    stage: int = 0
    step: int = 0
    global_step: int = 0
    weights_version: int = 0
    wide_gap_steps: int = 0
    data_position: int = 0
    data_digest: str = ""
    metrics_offset: int = 0
    measured: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return what a checkpoint's state.json holds."""
        return asdict(self)

    @staticmethod
    def from_json(state: dict[str, JsonValue]) -> Progress:
        """Return what a checkpoint recorded.  Raises: SpecError RLC0660 if it is not of this version."""
        known = {f.name for f in fields(Progress)}
        values: dict[str, Any] = {k: v for k, v in state.items() if k in known}
        if set(values) != known:
            missing = ", ".join(sorted(known - set(values)))
            raise SpecError(Diagnostic("RLC0660", f"the checkpoint was written by another version: no {missing}"))
        return Progress(**values)

    def next_stage(self) -> None:
        """Begin the next stage."""
        self.stage += 1
        self.step = self.data_position = 0
        self.wide_gap_steps = 0
        self.data_digest = ""
        self.measured.clear()
