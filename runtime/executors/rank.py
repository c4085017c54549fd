"""One process of those that train together: what an actor of a cluster is, without the cluster.

Every rank is called with the same methods and the same arguments in the same order.  Tensors of weights go from here
to the engines and never through whoever calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Never

from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.experiment import Experiment
from runtime.checkpoint.parts import Part, PartWriter
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.executors.inline import build_critic, build_learners
from runtime.protocols import Learner
from runtime.torch_process import set_up_torch
from runtime.weights.file_names import FILE_BYTES
from runtime.weights.sync import sync_weights

Role = Literal["trainer", "critic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Where the ranks of a role find one another.

    Args:
        address: of the machine of rank 0, and a free port of it.
        backend: of torch.distributed: `gloo` or `nccl`.
        timeout_s: the longest that a collective operation waits for all of them.
    """

    address: str
    port: int
    rank: int
    world_size: int
    backend: str
    timeout_s: float


class TrainerRank:
    """Holds what one process trains, stage after stage.

    Args:
        meeting: where its peers are, or None for one process that trains alone.
    """

    def __init__(self, experiment: Experiment[Never], *, root: Path, meeting: Meeting | None) -> None:
        self._experiment, self._root, self._meeting = experiment, root, meeting
        self._held: Any = None
        self._engines: list[SGLangEngine] = []
        self._writer: PartWriter | None = None
        set_up_torch(cpu_threads=experiment.cluster.cpu_threads)
        if meeting is not None:
            _meet(meeting)

    def begin(self, stage_index: int, role: Role, weights: Mapping[str, Tensor]) -> None:
        """Build what a stage trains; it starts from `weights`.  Raises: SpecError as making a trainer does."""
        self._held = None  # the memory of the stage before comes first
        for engine in self._engines:
            engine.close()
        self._engines = []
        stage = self._experiment.stages[stage_index]
        if self._writer is None:
            rank, num_ranks = (0, 1) if self._meeting is None else (self._meeting.rank, self._meeting.world_size)
            who, model = f"{role}-{rank}", self._experiment.model
            self._writer = PartWriter(who, rank=rank, num_ranks=num_ranks, model=model, file_bytes=FILE_BYTES)
        if role == "critic":
            self._held = build_critic(self._experiment, stage, weights)
        else:
            self._held = build_learners(self._experiment, stage, weights, root=self._root).trained

    def call(self, method: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Call a method of what is trained, and return what it returns.  Raises: what it raises."""
        return getattr(self._held, method)(*arguments, **named)

    def save_begins(self, folder: str) -> None:
        """Copy what this rank writes of a checkpoint, and begin to write it into a folder; collective.

        Raises: SpecError RLC0628 if the folder is not on this machine.
        """
        self._own_writer().begin(Path(folder), self._held.whole_state())

    def save_ended(self) -> list[Part] | None:
        """Return what this rank has written, or None as long as it writes.  Raises: SpecError RLC0624."""
        return self._own_writer().end()

    def _own_writer(self) -> PartWriter:
        if self._writer is None:
            raise InternalError("a rank that trains nothing has nothing to write")
        return self._writer

    def send_weights(self, places: Sequence[ServerPlace], *, version: int, verify: bool) -> None:
        """Give the engines the weights as they are now; the first rank sends, the others help to gather.

        Raises: SpecError as sync_weights.
        """
        learner: Learner = self._held
        if self._meeting is not None and self._meeting.rank > 0:
            for _ in range(len(places) * (1 + verify)):
                for _ in learner.named_weights():
                    pass
            return
        if not self._engines:
            self._engines = [SGLangEngine(place) for place in places]
        for engine in self._engines:
            sync_weights(learner, engine, version, verify=verify)


def _meet(meeting: Meeting) -> None:
    from torch import distributed

    if meeting.world_size < 2:
        raise InternalError("a rank that meets nobody")
    distributed.init_process_group(
        meeting.backend,
        init_method=f"tcp://{meeting.address}:{meeting.port}",
        rank=meeting.rank,
        world_size=meeting.world_size,
        timeout=timedelta(seconds=meeting.timeout_s),
    )
