"""[timeouts]: how long each wait of a job on GPUs may take."""

from __future__ import annotations

from compiler.diagnostics.annotations import Any, Generic
from compiler.ir.kinds import Seconds
from compiler.ir.openness import A
from compiler.ir.record import Record, setting


def _wait(doc: str) -> Any:
    return setting(doc, unit="seconds", gt=0, on_resume="may_change")


class Timeouts(Record, Generic[A]):
    """[timeouts]: when a wait ends that nobody answers, and who is to blame.

    What is not set is `factor` times the seconds that are predicted, and never less than `least_s`; of several stages
    the longest counts.  What waits for a reward is limited by reward.timeout_s.
    """

    factor: float = setting(
        "What predicted seconds are multiplied by, where a limit is derived.",
        default=5.0,
        gt=1,
        le=1000,
        on_resume="may_change",
    )
    least_s: Seconds = setting(
        "The shortest limit that is derived.", default=300.0, unit="seconds", gt=0, on_resume="may_change"
    )
    placement_s: Seconds | A = _wait("Until every process of the job has its GPUs and has started.")
    weight_load_s: Seconds | A = _wait("Until the trainer, or an engine, has read its weights from the disk.")
    generation_s: Seconds | A = _wait("Until an engine has generated its share of a rollout.")
    train_step_s: Seconds | A = _wait("Until the trainer has taken all optimizer steps on a rollout.")
    weight_sync_s: Seconds | A = _wait("Until every engine has the weights that the trainer sends.")
    checkpoint_s: Seconds | A = _wait("Until a checkpoint is written.")
