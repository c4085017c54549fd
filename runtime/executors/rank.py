"""One process of those that train together: what an actor of a cluster is, without the cluster.

Every rank is called with the same methods and the same arguments in the same order.  Tensors of weights go from here
to the engines and never through whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Never

from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.experiment import Experiment
from runtime.checkpoint.parts import Part, PartWriter
from runtime.engines.rollout.fleet_dispatch import is_loss
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.engines.rollout.weights_to_all import load_into_all
from runtime.executors.inline import build_critic, build_learners
from runtime.executors.spread_learners import build_spread_critic, build_spread_learners
from runtime.protocols import Learner
from runtime.torch_process import set_up_torch
from runtime.weights.file_names import FILE_BYTES
from runtime.weights.sync import verify_weights

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
    """Holds what one process trains, stage after stage: a policy or a reward model, and a critic beside it.

    Args:
        meeting: where its peers are, or None for one process that trains alone.
    """

    def __init__(self, experiment: Experiment[Never], *, root: Path, meeting: Meeting | None) -> None:
        self._experiment, self._root, self._meeting = experiment, root, meeting
        self._held: dict[Role, Any] = {}
        self._engines: dict[int, SGLangEngine] = {}
        self._writers: dict[Role, PartWriter] = {}
        set_up_torch(cpu_threads=experiment.cluster.cpu_threads)
        if meeting is not None:
            _meet(meeting)

    def begin(self, stage_index: int, role: Role, weights: Mapping[str, Tensor]) -> None:
        """Build what a stage trains; it starts from `weights`.  What is asked for first of a stage is its trainer.

        Raises: SpecError as making a trainer does.
        """
        if role == "trainer":
            self._held.clear()  # the memory of the stage before comes first
        for engine in self._engines.values():
            engine.close()
        self._engines = {}
        if role not in self._writers:
            self._writers[role] = self._writer_of(role)
        stage = self._experiment.stages[stage_index]
        is_spread = stage.train.engine.name != "torch"
        if role == "critic":
            build = build_spread_critic if is_spread else build_critic
            self._held[role] = build(self._experiment, stage, weights)
        else:
            build_all = build_spread_learners if is_spread else build_learners
            self._held[role] = build_all(self._experiment, stage, weights, root=self._root).trained

    def call(self, role: Role, method: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Call a method of what is trained, and return what it returns.  Raises: what it raises."""
        return getattr(self._held[role], method)(*arguments, **named)

    def save_begins(self, role: Role, folder: str) -> None:
        """Copy what this rank writes of a checkpoint, and begin to write it into a folder; collective.

        Raises: SpecError RLC0628 if the folder is not on this machine.
        """
        self._begun_writer(role).begin(Path(folder), self._held[role].whole_state())

    def save_ended(self, role: Role) -> list[Part] | None:
        """Return what this rank has written, or None as long as it writes.  Raises: SpecError RLC0624."""
        return self._begun_writer(role).end()

    def _begun_writer(self, role: Role) -> PartWriter:
        if role not in self._writers:
            raise InternalError(f"a rank that holds no {role} has nothing to write")
        return self._writers[role]

    def _writer_of(self, role: Role) -> PartWriter:
        rank, num_ranks = (0, 1) if self._meeting is None else (self._meeting.rank, self._meeting.world_size)
        model = self._experiment.model
        return PartWriter(f"{role}-{rank}", rank=rank, num_ranks=num_ranks, model=model, file_bytes=FILE_BYTES)

    def send_weights(self, places: Mapping[int, ServerPlace], *, version: int, verify: bool) -> Mapping[int, SpecError]:
        """Give the engines the weights as they are now, and return the errors of those that are gone, by number.

        The first rank sends, the others help to gather.  All ranks read the weights equally often, whatever becomes of
        an engine: they wait for one another.

        Raises: SpecError as sync_weights, except for engines that are gone.
        """
        is_first = self._meeting is None or self._meeting.rank == 0
        learner: Learner = self._held["trainer"]
        lost: dict[int, SpecError] = {}
        first_fault: SpecError | None = None
        for number in (None, *(places if verify else ())):
            whole = _ReadWhole(learner)
            try:
                if not is_first or first_fault is not None or number in lost:
                    continue
                if number is None:
                    lost.update(self._sent(places, whole, version))
                else:
                    verify_weights(whole, self._engines[number], version=version)
            except SpecError as fault:
                if number is not None and is_loss(fault):
                    lost[number] = fault
                else:
                    first_fault = fault
            finally:
                whole.finish()
        if first_fault is not None:
            raise first_fault
        return lost

    def _sent(self, places: Mapping[int, ServerPlace], whole: _ReadWhole, version: int) -> dict[int, SpecError]:
        lost: dict[int, SpecError] = {}
        for number, place in places.items():
            if number not in self._engines:
                try:
                    self._engines[number] = SGLangEngine(place)
                except SpecError as fault:
                    lost[number] = fault
        there = {number: self._engines[number] for number in places if number not in lost}
        lost.update(load_into_all(there, whole.named_weights(), version=version))
        for number, fault in lost.items():
            if not is_loss(fault):
                raise fault
            if number in self._engines:
                self._engines.pop(number).close()
        return lost


class _ReadWhole:
    """Weights that are read to their end once, whatever becomes of whoever reads them."""

    def __init__(self, learner: Learner) -> None:
        self._tensors = iter(learner.named_weights())

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what is left of them, without gradients."""
        for name, tensor in self._tensors:
            yield name, tensor.detach()

    def finish(self) -> None:
        """Read what is left."""
        for _ in self._tensors:
            pass


def _meet(meeting: Meeting) -> None:
    from torch import distributed

    distributed.init_process_group(
        meeting.backend,
        init_method=f"tcp://{meeting.address}:{meeting.port}",
        rank=meeting.rank,
        world_size=meeting.world_size,
        timeout=timedelta(seconds=meeting.timeout_s),
    )
